"""What a store of labels says about itself: ``manifest.json``, the last file that is written and the first one read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from stillbit.data.plain import from_plain
from stillbit.data.whole import whole
from stillbit.distill.layout import Layout

FORMAT = 1
"""The version of the layout; stores of a later one are refused."""
KIND = "stillbit soft labels"
NAME = "manifest.json"
AGAIN = "fetch it again, or write the store anew"
LONGEST = 1 << 24
"""Bytes of a manifest; one that is longer is neither written nor read, for JSON takes up to forty times its bytes."""
MOST = 1 << 48
"""Of anything that is counted."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """Who gave the labels, and how it sees images."""

    name: str
    sha256: str
    """Of its weights: names and bytes of all tensors, sorted."""
    size: tuple[int, int] | None = None
    """Height and width in pixels; None for text."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Crops:
    """How the crops were drawn, and how their pixels were made."""

    scale: tuple[float, float]
    ratio: tuple[float, float]
    hflip: float
    vflip: float
    interpolation: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How texts became the pieces that the teachers read."""

    task: str
    tokenizer: str
    """Its fingerprint."""
    max_length: int
    """Pieces of a sequence at most."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What was seen: the kind of source, its fingerprint (of images the names, in order; of texts all of them)."""

    kind: str
    fingerprint: str
    count: int
    classes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Shard:
    """A file of the store."""

    name: str
    samples: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything about a store but its labels."""

    layout: Layout
    views: int
    """Views of every sample."""
    shard_samples: int
    """Samples of a shard; the last one has what is left."""
    data: Data
    teachers: tuple[Teacher, ...]
    crops: Crops | None
    """None for text."""
    seed: int
    batch_size: int
    """Views that a teacher saw at a time: what is near in memory is near in its last bits."""
    precision: str
    made_with: dict[str, str]
    shards: tuple[Shard, ...] = ()
    """Empty while the store is being written."""
    targets_sha256: str = ""
    """Of ``targets.npy``, the true class of every sample."""
    reading: Reading | None = None
    """None where no texts were read; the file then does not speak of it."""

    @property
    def count(self) -> int:
        """Samples in all."""
        return self.data.count

    @property
    def shard_count(self) -> int:
        """Files of labels."""
        return -(-self.count // self.shard_samples)

    def samples_of(self, shard: int) -> range:
        """The samples of a shard, by number."""
        first = shard * self.shard_samples
        return range(first, min(first + self.shard_samples, self.count))

    @property
    def identity(self) -> str:
        """A hash of all of it: two stores with the same identity hold the same labels."""
        return _checksum(to_json(self))


def shard_name(number: int) -> str:
    """What a shard is called."""
    return f"shard-{number:05}.npy"


def to_json(manifest: Manifest) -> dict[str, Any]:
    """Plain data, with the record spelled out for readers that are not us."""
    held = json.loads(json.dumps(asdict(manifest)))
    if manifest.reading is None:
        held.pop("reading")
    record = [
        [name, kind, list(shape)] for name, kind, *rest in manifest.layout.dtype.descr for shape in [*rest, ()][:1]
    ]
    return {"format": FORMAT, "kind": KIND, "record": record, "bytes_a_view": manifest.layout.bytes_a_view, **held}


def write(manifest: Manifest, folder: Path, name: str = NAME) -> None:
    """Write it with its checksum, all of it or nothing."""
    # Numbers as a reader will find them: 1 where a float belongs is 1.0 to it, and would have another checksum.
    held = to_json(from_plain(Manifest, json.loads(json.dumps(asdict(manifest))), "manifest"))
    text = json.dumps({**held, "checksum": _checksum(held)}, indent=1) + "\n"
    if len(text) > LONGEST:
        raise ValueError(f"a manifest of {len(manifest.shards):,} shards is too long: ask for more --shard-samples")
    with whole(folder / name) as path:
        path.write_text(text, encoding="utf-8")


def read(folder: Path, name: str = NAME) -> Manifest:
    """The manifest of a store; one that is damaged, of a later version or another program's is refused."""
    path = folder / name
    try:
        with path.open("rb") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise ValueError(
            f"{folder} is no store of labels ({path.name}: {error.strerror}): give a folder that stillbit labels wrote"
        ) from None
    try:
        held = json.loads(text) if len(text) <= LONGEST else None
        found = _checksum({k: v for k, v in held.items() if k != "checksum"}) if isinstance(held, dict) else ""
    except (ValueError, RecursionError):
        held = None
    if not isinstance(held, dict) or held.get("kind") != KIND:
        raise ValueError(f"{path} is damaged, or not the manifest of a store of labels: {AGAIN}")
    if isinstance(held.get("format"), int) and held["format"] > FORMAT:
        raise ValueError(f"{folder} was written by a newer stillbit: pip install --upgrade stillbit")
    if held.pop("checksum", None) != found:
        raise ValueError(f"{path} is damaged: its checksum is another; {AGAIN}")
    try:
        return _checked(from_plain(Manifest, {k: v for k, v in held.items() if k in _FIELDS}, "manifest"), held)
    except ValueError as error:
        raise ValueError(f"{path} makes no sense ({error}): write the store anew") from None


_FIELDS = {field.name for field in fields(Manifest)}


def _checksum(held: Mapping[str, Any]) -> str:
    return sha256(json.dumps(held, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _checked(manifest: Manifest, held: Mapping[str, Any]) -> Manifest:
    """What the numbers must be for a reader to trust them."""
    layout = manifest.layout
    if min(manifest.views, manifest.shard_samples, manifest.batch_size, manifest.count) < 1:
        raise ValueError("it counts nothing")
    if max(manifest.views, manifest.shard_samples, manifest.count) > MOST:
        raise ValueError("it counts more than there is")
    if len(manifest.data.classes) not in (0, layout.classes):
        raise ValueError(f"{len(manifest.data.classes)} names for {layout.classes} classes")
    if layout.boxes != (manifest.crops is not None):
        raise ValueError("its records and its crops contradict each other")
    if manifest.reading is not None and (manifest.crops is not None or manifest.views != 1):
        raise ValueError("a text has one view, and no crops")
    wanted = ((shard_name(i), len(manifest.samples_of(i))) for i in range(len(manifest.shards)))
    whole_of = len(manifest.shards) in (0, manifest.shard_count)
    if not whole_of or any(
        (there.name, there.samples) != one for there, one in zip(manifest.shards, wanted, strict=True)
    ):
        raise ValueError("its shards do not add up to its samples")
    if to_json(manifest) != held:
        raise ValueError("its record is not what its layout says")
    return manifest
