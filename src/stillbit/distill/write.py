"""Write a store of labels, alone or beside others: what to write, and the work until all of it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from numpy import ndarray

from stillbit.distill import manifest as manifests
from stillbit.distill.labeller import PATIENCE, Labeller
from stillbit.distill.layout import Layout
from stillbit.distill.manifest import Manifest, Reading
from stillbit.distill.panel import Panel
from stillbit.distill.seen import Seen
from stillbit.distill.settings import WriteSettings
from stillbit.distill.shards import begin, check_room, claimed, finish, missing, write_shard

PACKAGES = ("stillbit", "torch", "torchvision", "timm", "pillow")
"""What decides the numbers of a store, beside the request ..."""
OF_TEXTS = ("stillbit", "torch", "transformers", "tokenizers")
"""... and those of a store of texts."""


@dataclass
class Standing:
    """How far a store is."""

    views: int
    """In all."""
    done: int = 0
    """In shards that are finished, whoever wrote them."""
    part: int = 0
    """In the shard that this process is at."""
    mine: int = 0
    """Labelled by this process."""
    waits: int = 0
    """Shards that others are at, where there is nothing else left to do."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """Who does it, and how. No number here changes a label."""

    workers: int = 0
    """Processes that load, beside this one."""
    corrupt: Literal["fatal", "skip"] = "fatal"
    """Whether damaged images end the work, or are left without labels."""
    rank: int = 0
    world: int = 1
    """Of ``world`` processes, this one begins with the shards rank, rank + world, ..."""
    tell: Callable[[Standing], None] = field(default=lambda standing: None)
    """Is called several times a second; what it raises ends the work, and all that is finished stays."""


class Written(NamedTuple):
    """A store that is finished."""

    manifest: Manifest
    mine: int
    """Views that this process labelled: none, if all was there already."""
    damaged: dict[str, str]
    """Name and reason of the images that this process left without labels."""


def request(seen: Seen, panel: Panel, settings: WriteSettings, reading: Reading | None = None) -> Manifest:
    """What a store of these samples, these teachers and these settings will say of itself.

    ``reading`` says how the samples became pieces, if they are texts.
    """
    layout = Layout(
        kind=settings.label_kind,
        top_k=settings.top_k,
        classes=panel.classes,
        boxes=seen.crops is not None,
    )
    return Manifest(
        layout=layout,
        views=settings.crops,
        shard_samples=settings.shard_samples,
        data=seen.data,
        teachers=panel.describe(),
        crops=seen.crops,
        seed=settings.seed,
        batch_size=settings.batch_size,
        precision=panel.manner,
        made_with={name: found for name in _decisive(reading) if (found := _version(name)) is not None},
        reading=reading,
    )


def write_labels(folder: Path, wanted: Manifest, seen: Seen, panel: Panel, work: Work) -> Written:
    """Write what is missing, beside all others that do the same, until the store is finished."""
    standing = Standing(wanted.count * wanted.views)
    if begin(folder, wanted):
        return Written(manifests.read(folder), 0, {})
    check_room(folder, wanted)
    targets = seen.targets()

    def heed() -> None:
        work.tell(standing)

    with Labeller(seen, panel, wanted, workers=work.workers, corrupt=work.corrupt, heed=heed) as labeller:
        while absent := missing(folder, wanted):
            standing.done = standing.views - wanted.views * sum(len(wanted.samples_of(n)) for n in absent)
            standing.part, standing.waits = 0, 0
            if not _one(folder, wanted, absent, labeller, standing, work):
                standing.waits = len(absent)
                heed()
                time.sleep(PATIENCE)
    return Written(finish(folder, wanted, targets), standing.mine, labeller.damaged)


def _one(folder: Path, wanted: Manifest, absent: list[int], labeller: Labeller, standing: Standing, work: Work) -> bool:
    """Write one of the missing shards: of one's own share first, then any that nobody is at."""
    for number in sorted(absent, key=lambda number: number % work.world != work.rank):
        with claimed(folder, number) as ours:
            if ours:
                write_shard(folder, wanted, number, _counted(labeller.shard(number), standing))
                return True
    return False


def _counted(chunks: Iterator[ndarray[Any, Any]], standing: Standing) -> Iterator[ndarray[Any, Any]]:
    for chunk in chunks:
        standing.part += chunk.size
        standing.mine += chunk.size
        yield chunk


def _decisive(reading: Reading | None) -> tuple[str, ...]:
    return PACKAGES if reading is None else OF_TEXTS


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
