"""Batches of sequences of like lengths: less padding, and still an order that is a function of (seed, epoch)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from stillbit.data.chance import permutation
from stillbit.data.order import SHUFFLE, Key

_SHUFFLE_BATCHES = 14  # what the random numbers are for: the first part of their key


@final
class Bucketed:
    """The batches of `Order`, but sorted by length within each ``bucket`` of them, and then shuffled.

    What is drawn is the batch of all ranks together, and each rank takes a run of it, so ranks see together what one
    process with the whole batch sees.
    """

    def __init__(
        self, lengths: Int[ndarray, n], batch: int, bucket: int, seed: int, *, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths, self.batch, self.bucket, self.seed = lengths, batch, bucket, seed
        self.rank, self.world = rank, world
        self.epoch = self.start = 0

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self.lengths) // (self.batch * self.world)

    @property
    def samples(self) -> int:
        """Examples an epoch, over all ranks."""
        return len(self) * self.batch * self.world

    def __iter__(self) -> Iterator[list[Key]]:
        """The keys of this rank's batches, from step ``start`` of ``epoch`` on."""
        epoch, share = self.epoch, slice(self.rank * self.batch, (self.rank + 1) * self.batch)
        batches = self._batches(epoch)
        for step in permutation(len(self), _SHUFFLE_BATCHES, self.seed, epoch)[self.start :]:
            yield [(epoch, number) for number in batches[step][share].tolist()]

    def _batches(self, epoch: int) -> Int[ndarray, "steps whole"]:
        whole = self.batch * self.world
        order = permutation(len(self.lengths), SHUFFLE, self.seed, epoch)[: self.samples]
        for begin in range(0, len(order), self.bucket * whole):
            part = order[begin : begin + self.bucket * whole]
            part[:] = part[np.argsort(self.lengths[part], kind="stable")]
        return order.reshape(-1, whole)
