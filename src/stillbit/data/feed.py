"""What gives batches, of images or of texts: all that a training knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol


class Feed(Protocol):
    """Batches without history. A batch has ``inputs``, ``targets`` and ``indices``, and is a named tuple of tensors."""

    def __len__(self) -> int:
        """Steps an epoch."""

    @property
    def samples(self) -> int:
        """How many count in an epoch, over all processes."""

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """Name and reason of everything that was left out so far."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """The batches from step ``start`` on."""
