"""Stored views in training: the same crops that the teacher saw, each with what it said of them.

The images form one endless stream, pass after pass, each a permutation of all of them; nothing is dropped between two
passes. A pass takes the next ``crops`` views of every image, so all are used once before any is used twice. An epoch
has as many views as there are images, wherever in a pass it begins.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, final, get_args

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from numpy import ndarray
from torch import Tensor

from stillbit.data.batch import PADDING
from stillbit.data.chance import permutation
from stillbit.data.look import Look
from stillbit.data.order import PADDED, SHUFFLE, Key
from stillbit.data.samples import Bytes
from stillbit.data.settings import Interpolation
from stillbit.data.source import DamagedImage, Source
from stillbit.distill.layout import UNLABELLED
from stillbit.distill.seen import cut_all
from stillbit.distill.store import Store


@final
@dataclass
class Passes:
    """Step k takes the k-th ``batch`` views a rank of the stream; each rank a run of them."""

    count: int
    batch: int
    crops: int
    """Views of an image in a batch."""
    seed: int
    rank: int = 0
    world: int = 1
    epoch: int = 0
    start: int = 0

    def __len__(self) -> int:
        """Steps an epoch."""
        return self.count // (self.batch * self.world)

    @property
    def samples(self) -> int:
        """Views an epoch, over all ranks."""
        return len(self) * self.batch * self.world

    def __iter__(self) -> Iterator[list[Key]]:
        """The keys of this rank's batches, each a pass and the number of an image."""
        images = self.batch // self.crops
        # The epoch is that of now: the one who asks may go on to the next before this one is used up.
        first = self.epoch * len(self)
        for step in range(first + self.start, first + len(self)):
            begin = (step * self.world + self.rank) * images
            yield [self._key(place) for place in range(begin, begin + images)]

    def _key(self, place: int) -> Key:
        number, within = divmod(place, self.count)
        return number, int(_order(self.count, self.seed, number)[within])


@lru_cache(maxsize=2)  # a batch can lie in two passes
def _order(count: int, seed: int, number: int) -> Int[ndarray, " count"]:
    return permutation(count, SHUFFLE, seed, number)


@final
class Replay:
    """The views of a store: an image is decoded once for all its crops of a batch, and they stand side by side."""

    def __init__(self, store: Store, source: Source, look: Look, crops: int) -> None:
        """``source`` has the images of the store, and ``look`` says how the student sees them."""
        if crops > store.views:
            raise ValueError(
                f"--crops {crops}: {store.folder} has {store.views} views of an image; take as many or less"
            )
        self.store, self.source, self.look, self.crops = store, source, look, crops
        self.interpolation = interpolation_of(store)

    def order(self, batch: int, seed: int, rank: int, world: int) -> Passes:
        """Of batches of ``batch`` views a rank."""
        if batch % self.crops:
            nearest = max(1, batch // self.crops) * self.crops
            raise ValueError(
                f"a batch of {batch} views cannot hold {self.crops} of every image: --batch-size {nearest}, "
                "or another number of --crops"
            )
        return Passes(len(self.source), batch, self.crops, seed, rank, world)

    def __getitems__(self, keys: Sequence[Key]) -> Bytes:
        """All of a batch, image by image; those that are damaged, or were when the labels were written, are named."""
        pixels, records, indices, damaged = [], [], list[int](), []
        for number, index in keys:
            try:
                held, seen = self.views(number, index)
            except DamagedImage as fault:
                damaged.append((fault.name, fault.reason))
                continue
            pixels.append(seen)
            records.append(held)
            indices += [index] * len(seen)
        if not pixels:
            pixels.append(torch.zeros(1, self.look.channels, *self.look.size, dtype=torch.uint8))
            records.append(np.zeros(1, self.store.layout.dtype))
            indices.append(PADDED)
        targets = [PADDING if index == PADDED else self.source.label(index) for index in indices]
        said = answers(np.concatenate(records))
        return Bytes(torch.cat(pixels), torch.tensor(targets), torch.tensor(indices), damaged, *said)

    def views(self, number: int, index: int) -> tuple[ndarray[Any, Any], UInt8[Tensor, "views c h w"]]:
        """The records and pixels of an image in pass ``number``."""
        first = number * self.crops % self.store.views
        records = self.store.records(index, first, self.crops)
        if (records["flags"] & UNLABELLED).any():
            raise DamagedImage(self.source.name(index), f"it was damaged when {self.store.folder} was written")
        picture = self.source.image(index, 0)
        return records, cut_all(picture, records["box"], records["flags"], self.look, self.interpolation)


def answers(records: ndarray[Any, Any]) -> tuple[Int[Tensor, "views k"] | None, Float[Tensor, "views k"]]:
    """What the teacher said of some views: the classes it lists (None for all), and how likely it finds them."""
    names = records.dtype.names or ()
    classes = torch.from_numpy(records["classes"].astype(np.int64)) if "classes" in names else None
    if "probabilities" not in names:
        assert classes is not None
        return classes, torch.ones(classes.shape, dtype=torch.float16)
    return classes, torch.from_numpy(records["probabilities"].astype(np.float16))


def interpolation_of(store: Store) -> Interpolation:
    """How the store's crops are resized; one without crops is of no use here."""
    crops = store.manifest.crops
    if crops is None:
        raise ValueError(f"{store.folder} has labels for text, and this trains on images: give labels of crops")
    for known in get_args(Interpolation):
        if crops.interpolation == known:
            return known  # type: ignore[no-any-return]
    raise ValueError(f"{store.folder} resizes crops by {crops.interpolation!r}, which is not known here: write it anew")
