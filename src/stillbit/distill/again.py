"""Ask the teachers again for labels that are stored: do the same inputs and weights give the same answer here?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from stillbit.data.chance import permutation
from stillbit.data.source import DamagedImage, Source
from stillbit.distill.examples import Examples
from stillbit.distill.layout import UNLABELLED, dense, fill
from stillbit.distill.manifest import Manifest
from stillbit.distill.panel import Panel
from stillbit.distill.replay import interpolation_of
from stillbit.distill.seen import cut_all
from stillbit.distill.store import Store

_SAMPLE = 10  # what the random numbers are for: the first part of their key


class Again(NamedTuple):
    """One batch, asked once more."""

    shard: int
    batch: int
    views: int
    identical: int
    """Views whose record came out the same, bit by bit."""
    largest: float
    """The largest difference of a probability."""
    name: str
    """The image or text with that difference."""


Labelled = Source | Examples
"""What a store may be of."""


def again(store: Store, samples: Labelled, panel: Panel, count: int, seed: int = 0) -> list[Again]:
    """``count`` batches of the store, chosen by chance, composed as they were when they were written."""
    said = store.manifest
    there, here = [t.sha256 for t in said.teachers], [t.sha256 for t in panel.describe()]
    if there != here:
        raise ValueError(f"{store.folder} has labels of {_names(said)}, with other weights than these: "
                         "give --teacher (and --teacher-weights) as they were when it was written")  # fmt: skip
    if said.precision != panel.manner:
        raise ValueError(
            f"{store.folder} was written in {said.precision} and this is {panel.manner}: ask in the same way"
        )
    places = [(shard, batch) for shard in range(said.shard_count) for batch in range(_batches(said, shard))]
    chosen = permutation(len(places), _SAMPLE, seed)[:count]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as they were asked the first time
    try:
        return [_one(store, samples, panel, *places[place]) for place in sorted(chosen.tolist())]
    finally:
        torch.set_num_threads(threads)


def _one(store: Store, samples: Labelled, panel: Panel, shard: int, batch: int) -> Again:
    said, size = store.manifest, store.manifest.batch_size
    held = store.shard(shard).reshape(-1)[batch * size : (batch + 1) * size]
    first = said.samples_of(shard)[0] * said.views + batch * size
    numbers = np.arange(first, first + len(held)) // said.views
    inputs = torch.cat([_inputs(store, samples, panel, n, held[numbers == n]) for n in np.unique(numbers).tolist()])
    padded = torch.cat([inputs, inputs[-1:].expand(size - len(inputs), *inputs.shape[1:])])
    records = np.array(held)
    fill(records, panel(padded)[: len(held)], said.layout)
    blank = (held["flags"] & UNLABELLED) > 0 if said.layout.boxes else np.zeros(len(held), bool)
    records[blank] = held[blank]
    far = np.zeros(len(held))
    far[~blank] = np.abs(dense(records[~blank], said.layout) - dense(held[~blank], said.layout)).max(-1)
    same = sum(a.tobytes() == b.tobytes() for a, b in zip(records, held, strict=True))
    return Again(shard, batch, len(held), same, float(far.max()), samples.name(int(numbers[far.argmax()])))


def _inputs(store: Store, samples: Labelled, panel: Panel, sample: int, held: ndarray[Any, Any]) -> Tensor:
    """What the teachers saw or read of a sample."""
    if isinstance(samples, Examples):
        return samples.views(sample).inputs
    return _pixels(store, samples, panel, sample, held)


def _pixels(store: Store, source: Source, panel: Panel, sample: int, held: ndarray[Any, Any]) -> Tensor:
    """What the teachers saw of an image."""
    look = panel.look
    assert look is not None, "they see images"
    try:
        picture = source.image(sample, 0)
    except DamagedImage as fault:
        if (held["flags"] & UNLABELLED).all():
            return torch.zeros(len(held), look.channels, *look.size, dtype=torch.uint8)
        raise ValueError(f"{fault.name} has labels, and cannot be used: {fault.reason}; repair it") from None
    return cut_all(picture, held["box"], held["flags"], look, interpolation_of(store))


def _batches(said: Manifest, shard: int) -> int:
    return -(-len(said.samples_of(shard)) * said.views // said.batch_size)


def _names(said: Manifest) -> str:
    return " and ".join(teacher.name for teacher in said.teachers)
