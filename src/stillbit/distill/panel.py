"""Teachers, asked together: the answer is the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor, nn

from stillbit.data.batch import logits_of
from stillbit.data.look import Look
from stillbit.distill.manifest import Teacher
from stillbit.distill.weights_hash import weights_hash

Precision = Literal["bf16", "fp32"]


@dataclass(frozen=True, kw_only=True)
class Reads:
    """How a teacher reads texts."""

    tokenizer: str
    """The fingerprint of the tokenizer that it was trained with."""
    types: bool
    """Whether it is told which of two texts a piece is of."""


@dataclass(frozen=True, kw_only=True)
class Expert:
    """One teacher: a model from inputs to logits, and how it sees images or reads texts; neither for anything else."""

    name: str
    model: nn.Module
    look: Look | None = None
    reads: Reads | None = None

    def describe(self) -> Teacher:
        """What a store says of it."""
        said = Teacher(name=self.name, sha256=weights_hash(self.model))
        look = self.look
        return said if look is None else replace(said, size=look.size, mean=look.mean, std=look.std)


@final
class Panel:
    """In eval mode and without gradients, whatever the models were in before; what they see is the same for all."""

    def __init__(
        self,
        experts: Sequence[Expert],
        classes: int,
        *,
        device: torch.device | str = "cpu",
        precision: Precision = "bf16",
        compiled: bool = False,
    ) -> None:
        """``compiled`` says that the models are: one is then asked at a time."""
        _check_alike(experts)
        self.experts, self.classes, self.compiled = tuple(experts), classes, compiled
        self.device, self.precision = torch.device(device), precision
        for expert in experts:
            # Convolutions read their inputs as they lie with channels last; transformers do not mind.
            expert.model.eval().requires_grad_(False).to(self.device)
            if expert.look is not None:
                expert.model.to(memory_format=torch.channels_last)

    @property
    def look(self) -> Look | None:
        """What all of them want to see, but for the normalisation, which each does by itself."""
        return self.experts[0].look

    @property
    def reads(self) -> Reads | None:
        """How all of them read."""
        return self.experts[0].reads

    @property
    def manner(self) -> str:
        """How they compute: what of it decides the last bits of an answer."""
        return self.precision + ", compiled" * self.compiled

    def describe(self) -> tuple[Teacher, ...]:
        """What a store says of them."""
        return tuple(expert.describe() for expert in self.experts)

    def twin(self) -> Panel:
        """Other modules with the same numbers, for another thread: a module may remember where in its forward it is."""
        experts = [replace(expert, model=_twin(expert.model)) for expert in self.experts]
        return Panel(experts, self.classes, device=self.device, precision=self.precision)

    @torch.no_grad()
    def __call__(self, inputs: Shaped[Tensor, "views ..."]) -> Float[Tensor, "views classes"]:
        """Probabilities in float32, on the device."""
        if self.reads is not None and not self.compiled:  # compiled, another width would be compiled anew
            inputs = _narrow(inputs)
        inputs = inputs.to(self.device, non_blocking=True)
        total = torch.zeros(len(inputs), self.classes, device=self.device)
        for expert in self.experts:
            # Each weight is used once, so there is no point in keeping it in bfloat16.
            with torch.autocast(
                self.device.type, torch.bfloat16, enabled=self.precision == "bf16", cache_enabled=False
            ):
                logits = logits_of(expert.model(*_shown(inputs, expert)))
            self._check(expert, logits, len(inputs))
            total += logits.float().softmax(-1)
        return total / len(self.experts)

    def _check(self, expert: Expert, logits: object, count: int) -> None:
        if not isinstance(logits, Tensor) or logits.shape != (count, self.classes):
            gave = tuple(logits.shape[1:]) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"the teacher {expert.name} answers with {gave} a view, and the data has {self.classes} "
                             "classes: take one that was trained on this data's classes")  # fmt: skip
        if not logits.isfinite().all():
            raise ValueError(f"the teacher {expert.name} answers with what is no number: --precision fp32, or another")


def _shown(inputs: Shaped[Tensor, "views ..."], expert: Expert) -> tuple[Shaped[Tensor, "views ..."], ...]:
    """What a model is called with: texts as pieces, mask and (if it asks) types; anything else as it is."""
    if expert.reads is not None:
        return inputs.long().unbind(1)
    return (inputs if expert.look is None else _normal(inputs, expert.look),)


def _narrow(texts: Int[Tensor, "views parts t"]) -> Int[Tensor, "views parts longest"]:
    """Without the columns that are padding in every row: the second part is the mask."""
    return texts[..., : int(texts[:, 1].sum(-1).max())]


def _normal(inputs: UInt8[Tensor, "views c h w"], look: Look) -> Float[Tensor, "views c h w"]:
    """Bytes as the model wants them, with the arithmetic of the training's loader."""
    mean, std = (torch.tensor(v, device=inputs.device)[:, None, None] for v in (look.mean, look.std))
    plain = inputs.float().mul_(1 / (255 * std)).add_(-mean / std)
    return plain.contiguous(memory_format=torch.channels_last)


def _twin(model: nn.Module) -> nn.Module:
    return deepcopy(model, {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())})


def _check_alike(experts: Sequence[Expert]) -> None:
    if not experts:
        raise ValueError("labels need a teacher: --teacher NAME_OR_RUN")
    first = experts[0]
    for expert in experts[1:]:
        if (first.look is None) != (expert.look is None):
            raise ValueError(f"{first.name} and {expert.name} do not see the same: one sees images, the other does not")
        if first.reads != expert.reads:
            raise ValueError(
                f"teachers that answer together read the same pieces, and {first.name} and {expert.name} cut texts in "
                "another way: take teachers with one tokenizer, and of one family"
            )
        if first.look is None or expert.look is None:
            continue
        if (first.look.size, first.look.channels) != (expert.look.size, expert.look.channels):
            raise ValueError(
                f"teachers that answer together see the same pixels, and {first.name} wants {_pixels(first.look)}, "
                f"{expert.name} {_pixels(expert.look)}: take teachers of one size"
            )


def _pixels(look: Look) -> str:
    return f"{look.size[0]} x {look.size[1]} in {look.channels} channels"
