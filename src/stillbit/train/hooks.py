"""A hook: what happens inside and after a step and after an epoch, and what of it belongs into a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

from stillbit.train.state import Training
from stillbit.train.task import Losses


class Hook(Protocol):
    """Does nothing; inherit, and override what you need. Or have these methods without inheriting.

    The loop calls hooks in their order. ``state`` is what a hook must remember to go on as if nothing had happened:
    tensors, numbers, strings, and lists and dicts of them.

    The bare ``return`` tells type checkers that a body is whole.
    """

    name: ClassVar[str]
    """Under which a checkpoint keeps the state."""

    def before_update(self, training: Training) -> None:
        """Between the backward passes of a step and its update: all gradients are there, and not clipped yet."""
        return

    def after_update(self, training: Training) -> None:
        """The optimizer has moved the weights; the running average has not followed, and the step is not counted."""
        return

    def after_step(self, training: Training, losses: Losses) -> None:
        """After all of a step is done and counted; ``losses`` are those of the step, on the device."""
        return

    def after_epoch(self, training: Training) -> None:
        """After the last step of an epoch."""
        return

    def close(self) -> None:
        """When training ends, well or not."""
        return

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; asked in all processes at the same moment."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; an empty dict where the checkpoint has none of it."""
        return
