"""A penalty is a loss on weights; a task with penalties is a task again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.watch import Training, Watch


class Penalty(Protocol):
    """A scalar with a gradient, under a name. It was given the bare model, so it needs none when it is called."""

    @property
    def name(self) -> str:
        """Under which the log shows it."""

    def __call__(self) -> Float[Tensor, ""]:
        """What the weights cost now."""


class Task(Protocol):
    """From a batch to named losses: what the training loop calls a task."""

    def prepare(self, batch: Batch) -> Batch:
        """The batch of a whole step, before it is cut into parts."""

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The losses of ``model`` on ``batch``."""


@dataclass(frozen=True)
class Priced:
    """A penalty and its strength over the steps of a training."""

    penalty: Penalty
    strength: Ramp


@final
class Penalized(Watch):
    """A task, and what weights cost on top of it.

    It is a hook as well: the strengths follow the steps. So it goes to the loop twice, ``Loop(task, [task, ...])``.
    The penalties see the weights themselves; what a step calls, such as a DDP wrapper, reaches only the task inside.
    """

    name: ClassVar[str] = "penalties"

    def __init__(self, task: Task, penalties: Sequence[Priced]) -> None:
        """Begin at step 0."""
        self.task, self.penalties = task, tuple(penalties)
        self.step = 0
        self.counted = True

    def prepare(self, batch: Batch) -> Batch:
        """What the task inside makes of it."""
        if not self.counted and not all(priced.strength.is_flat for priced in self.penalties):
            raise ValueError(
                "strengths follow the steps, and nobody counts them: write Loop(task, [task, *hooks], ...)"
            )
        self.counted = False
        return self.task.prepare(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """The losses of the task, and every penalty times its strength; one whose strength is zero is not computed."""
        losses = dict(self.task(model, batch))
        like = next(iter(losses.values()))
        for priced in self.penalties:
            name, strength = priced.penalty.name, priced.strength(self.step)
            if name in losses:
                raise ValueError(f"two losses are called {name!r}: give one of them another name")
            losses[name] = (strength * priced.penalty()).to(like.dtype) if strength else torch.zeros_like(like)
        return losses

    def after_step(self, training: Training, losses: dict[str, Tensor]) -> None:
        """The next step has the next strength."""
        self.step, self.counted = training.step, True

    def state(self) -> dict[str, Any]:
        """How far the strengths have come."""
        return {"step": self.step}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.step, self.counted = int(state.get("step", 0)), True
