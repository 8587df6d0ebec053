"""A hook: what happens after a step and after an epoch, and what of it belongs into a checkpoint."""

from __future__ import annotations

from typing import Any, ClassVar

from stillbit.train.state import Training
from stillbit.train.task import Losses


class Hook:
    """Does nothing; override what you need.

    The loop calls hooks in their order. ``state`` is what a hook must remember to go on as if nothing had happened:
    tensors, numbers, strings, and lists and dicts of them.
    """

    name: ClassVar[str]
    """Under which a checkpoint keeps the state."""

    def after_step(self, training: Training, losses: Losses) -> None:
        """After the optimizer moved the weights; ``losses`` are those of the step, on the device."""

    def after_epoch(self, training: Training) -> None:
        """After the last step of an epoch."""

    def close(self) -> None:
        """When training ends, well or not."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps; asked in all processes at the same moment."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
