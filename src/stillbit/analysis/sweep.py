"""Measure one group after the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.analysis.given import Given, answer
from stillbit.analysis.groups import Tensors
from stillbit.analysis.inquiry import Question
from stillbit.analysis.integer import integers
from stillbit.analysis.prefix import Prefix
from stillbit.analysis.retrain import retrained
from stillbit.analysis.scores import Tally, log_probabilities
from stillbit.analysis.switches import Place, Setting, Switched
from stillbit.train.settings import OptimSettings


@final
class Sweep:
    """A base in which all groups are alike, and for each group the model in which it alone is not."""

    def __init__(
        self, switched: Switched, groups: Sequence[Tensors], question: Question, ends: Collection[str]
    ) -> None:
        """``ends`` are the layers that keep the high bits where all others have the low ones."""
        self.switched, self.groups = switched, groups
        self._to: Setting = "low" if question == "lower" else "float"
        self._base: dict[Place, Setting] = {
            place: "high" if question == "lower" or place[0] in ends else "low" for place in switched.switches
        }
        self.reference, self.base = Tally(), Tally()
        self.tallies = tuple(Tally() for _ in groups)
        self.outputs = 0

    @torch.no_grad()
    def measure(self, batches: Iterable[Given]) -> None:
        """From calibration alone: a few images pass all models before the next ones come."""
        with integers(self.switched), Prefix(self.switched.model).watching() as prefix:
            for batch in batches:
                reference = self._refer(batch)
                self.switched.set(self._base)
                before = self.base.add(prefix.record(*batch.inputs), reference, batch.targets)
                for group, tally in zip(self.groups, self.tallies, strict=True):
                    self.switched.set(self._base, group.parts, self._to)
                    logits = prefix.again(group.layers)
                    tally.add(logits, reference, batch.targets, before)

    def train(
        self,
        batches: Sequence[Given],
        lessons: Callable[[], Iterable[Given]],
        steps: int,
        optim: OptimSettings,
    ) -> None:
        """The base and every group after a training of its own, from the same start and with the same batches."""
        with torch.no_grad():
            references = [self._refer(batch) for batch in batches]
        befores: list[Tensor | None] = [None] * len(batches)
        todo: list[tuple[Tensors | None, Tally]] = [(None, self.base), *zip(self.groups, self.tallies, strict=True)]
        for group, tally in todo:
            self.switched.set(self._base, () if group is None else group.parts, self._to)
            model = retrained(self.switched, lessons(), steps, optim)
            with torch.no_grad():
                losses = [
                    tally.add(answer(model, batch), reference, batch.targets, before)
                    for batch, reference, before in zip(batches, references, befores, strict=True)
                ]
            befores = list(losses) if group is None else befores

    def _refer(self, batch: Given) -> Float[Tensor, "n classes"]:
        """What the float model says of the images, added to its scores."""
        self.switched.set("float")
        logits = self.switched(*batch.inputs)
        self._check(logits, batch)
        reference = log_probabilities(logits)
        self.reference.add(logits, reference, batch.targets)
        return reference

    def _check(self, logits: Tensor, batch: Given) -> None:
        if logits.dim() != 2 or logits.size(1) < 2:
            raise ValueError(
                f"sensitivity needs a model that tells classes apart, and this one gives {tuple(logits.shape)}: "
                "give it a classifier of at least two"
            )
        self.outputs = logits.size(1)
        largest = int(batch.targets.max())
        if largest >= self.outputs:
            raise ValueError(
                f"the model tells {self.outputs} classes apart and there is an image of class {largest}: "
                "give the data it was trained for"
            )
