"""Which images come at which step of an epoch, and on which rank."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, final

from stillbit.data.chance import permutation

SHUFFLE = 3  # what the random numbers are for: the first part of their key
PADDED = -1
"""The number of an image that is there only because every rank needs one."""
Key = tuple[int, int]
"""The epoch, and the number of the image."""


class Steps(Protocol):
    """What a loader goes by: the keys of a rank's batches, from step ``start`` of ``epoch`` on."""

    epoch: int
    start: int

    def __len__(self) -> int:
        """Steps an epoch."""

    @property
    def samples(self) -> int:
        """Images an epoch, over all ranks."""

    def __iter__(self) -> Iterator[list[Key]]:
        """A batch a step."""


@final
@dataclass
class Order:
    """Step k takes the k-th part of the epoch's order, ``batch`` images a rank, and each rank a run of that part.

    With a ``seed`` the order is random and only whole batches count; without one all images come as they are, and a
    last part that is not whole is shared out evenly.
    """

    count: int
    batch: int
    seed: int | None = None
    rank: int = 0
    world: int = 1
    epoch: int = 0
    start: int = 0

    def __len__(self) -> int:
        """Steps an epoch."""
        return self.count // self._whole if self.seed is not None else -(-self.count // self._whole)

    @property
    def samples(self) -> int:
        """Images an epoch, over all ranks."""
        return min(self.count, len(self) * self._whole)

    def __iter__(self) -> Iterator[list[Key]]:
        """The keys of this rank's batches, from step ``start`` of ``epoch`` on."""
        numbers, epoch = range(self.count), self.epoch
        order = numbers if self.seed is None else permutation(self.count, SHUFFLE, self.seed, epoch).tolist()
        for step in range(self.start, len(self)):
            part = order[step * self._whole : (step + 1) * self._whole]
            mine = part[self.rank * len(part) // self.world : (self.rank + 1) * len(part) // self.world]
            yield [(epoch, number) for number in mine or [PADDED]]

    @property
    def _whole(self) -> int:
        return self.batch * self.world
