"""What everything in this room has in common with a hook of the training loop, which it does not import."""

from __future__ import annotations

from abc import ABC
from typing import Any, ClassVar, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer


class Training(Protocol):
    """What is read of a training."""

    model: nn.Module
    optimizer: Optimizer
    step: int
    """Steps done."""
    epoch: int
    scores: dict[str, float]
    """What is logged with every epoch."""
    best: dict[str, Any]
    """The best evaluation so far, by which a run is judged."""


class Watch(ABC):
    """Has the methods of a hook. Those that log stand behind the evaluation, which begins a new dict of scores."""

    name: ClassVar[str]
    """Under which a checkpoint keeps the state."""

    def before_update(self, training: Training) -> None:
        """All gradients are there."""
        return

    def after_update(self, training: Training) -> None:
        """The optimizer has moved the weights."""
        return

    def after_step(self, training: Training, losses: dict[str, Tensor]) -> None:
        """The step is counted."""
        return

    def after_epoch(self, training: Training) -> None:
        """Log what there is to say."""
        training.scores.update(self.numbers())

    def numbers(self) -> dict[str, float]:
        """What belongs into the log after every epoch."""
        return {}

    def close(self) -> None:
        """Nothing is open."""
        return

    def state(self) -> dict[str, Any]:
        """Nothing to remember."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; an empty dict means: begin here."""
        return
