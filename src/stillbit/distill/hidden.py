"""Hidden-state distillation: what enters the first layer, and what every layer puts out, shall be the teacher's.

BiT's second loss (arXiv 2205.13016), the ``distill_rep`` of its code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from stillbit.data.batch import Batch
from stillbit.data.text import TextBatch
from stillbit.distill.tasks import FromTeacher, Losses

Names = Sequence[str]
OTHERWISE = "take a teacher of the student's kind, or leave the hidden states out, --hidden 0"


@final
class Hidden:
    """A task with a teacher, and beside its losses the sum over all states of their mean squared distance."""

    def __init__(self, task: FromTeacher, student: nn.Module, strength: float, layers: tuple[Names, Names]) -> None:
        """``student`` comes bare; ``layers`` are the names of its repeated blocks, and of the teacher's."""
        self.task, self.strength = task, strength
        mine, theirs = layers
        if not mine or len(mine) != len(theirs):
            raise ValueError(
                f"hidden states are compared layer by layer, and the student has {_counted(mine)} where the teacher "
                f"has {_counted(theirs)}: {OTHERWISE}"
            )
        self.seen = States(student, mine), States(task.teacher, theirs)
        for block, other in zip(*(states.blocks for states in self.seen), strict=True):
            _check_norms(block, other)

    def prepare(self, batch: Batch) -> Batch:
        """As the task inside does."""
        return self.task.prepare(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The losses of the task inside, and the distance of the states."""
        here, there = self.seen
        with here, there:
            losses = self.task(model, batch)
        mask = batch.mask if isinstance(batch, TextBatch) else None
        apart = [distance(mine, other, mask) for mine, other in zip(here.take(), there.take(), strict=True)]
        return losses | {"hidden": self.strength * torch.stack(apart).sum()}


@final
class States:
    """Keeps, from entering to leaving it, what enters the first of some blocks and what all of them put out, in order.

    A block that runs more than once puts out as many states.
    """

    def __init__(self, model: nn.Module, names: Names) -> None:
        """``names`` are those of ``model.named_modules()``."""
        self.blocks = [model.get_submodule(name) for name in names]
        self.states: list[Tensor] = []
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.states.clear()
        self._handles = [block.register_forward_hook(self._left) for block in self.blocks]
        self._handles.append(self.blocks[0].register_forward_pre_hook(self._entered, with_kwargs=True))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the states stay until they are taken."""
        while self._handles:
            self._handles.pop().remove()

    def take(self) -> list[Tensor]:
        """What was kept; it is given away, so that nothing holds on to it."""
        states, self.states = self.states, []
        return states

    def _entered(self, block: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        if not self.states:
            self.states.append(next(each for each in (*inputs, *named.values()) if isinstance(each, Tensor)))

    def _left(self, block: nn.Module, inputs: Any, output: Any) -> None:
        self.states.append(output if isinstance(output, Tensor) else output[0])


def distance(
    mine: Float[Tensor, "n ..."], other: Float[Tensor, "n ..."], mask: Int[Tensor, "n t"] | None = None
) -> Float[Tensor, ""]:
    """The mean squared distance, of each sample its own mean, so that parts of a batch add up to the whole.

    With a ``mask`` the states are those of tokens, ``[n, t, width]``, and what is padding does not count.
    """
    if mine.shape != other.shape:
        raise ValueError(
            f"the student's hidden states are {_sides(mine)} and the teacher's {_sides(other)}, which cannot be "
            f"compared: {OTHERWISE}"
        )
    square = (_precise(mine) - _precise(other)).square().flatten(1 if mask is None else 2).mean(-1)
    if mask is None:
        return square.mean()
    counted = mask.to(square.dtype)
    return ((square * counted).sum(1) / counted.sum(1).clamp_min(1)).mean()


def _precise(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x


def _check_norms(mine: nn.Module, other: nn.Module) -> None:
    """Refuse before the first step what would not fit in it: a block's norms are as wide as its states."""
    wanted = {name: p for name, p in other.named_parameters() if p.ndim == 1 and "norm" in name.lower()}
    for name, parameter in mine.named_parameters():
        if name in wanted and wanted[name].shape != parameter.shape:
            raise ValueError(
                f"the student's hidden states are {len(parameter)} numbers wide and the teacher's "
                f"{len(wanted[name])}: {OTHERWISE}"
            )


def _counted(layers: Names) -> str:
    return f"{len(layers)} layer{'s' * (len(layers) != 1)}" if layers else "no repeated layers"


def _sides(x: Tensor) -> str:
    return " x ".join(str(side) for side in x.shape[1:])
