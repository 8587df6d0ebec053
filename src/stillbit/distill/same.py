"""Whether two requests for a store are one, and if not, in what they differ."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stillbit.distill.manifest import Manifest, to_json

_WORDS = {
    "layout.kind": "--label-kind",
    "layout.top_k": "--top-k",
    "views": "--crops",
    "data.fingerprint": "the list of images",
    "data.count": "the number of images",
    "data.classes": "the classes",
    "data.kind": "--dataset",
    "crops.interpolation": "--interpolation",
    "crops.scale": "--scale",
    "crops.ratio": "--ratio",
    "crops.hflip": "--hflip",
    "crops.vflip": "--vflip",
    "seed": "--seed",
    "batch_size": "--batch-size",
    "shard_samples": "--shard-samples",
    "precision": "--precision",
    "reading.task": "--task",
    "reading.tokenizer": "the tokenizer",
    "reading.max_length": "--max-length",
}
_OF_TEXTS = {"data.fingerprint": "the texts", "data.count": "the number of examples"}
_WRITTEN = ("record", "bytes_a_view", "shards", "targets_sha256")
"""What follows from the rest, or is known only when all is written."""


def check_same(folder: Path, there: Manifest, wanted: Manifest) -> None:
    """Refuse to mix the labels of two requests."""
    other = differences(there, wanted)
    if other:
        said = "; ".join(other[:3]) + (f"; and {len(other) - 3} more" if len(other) > 3 else "")
        raise ValueError(f"{folder} is another store ({said}): give the same options, or choose another --output")


def differences(there: Manifest, wanted: Manifest) -> list[str]:
    """Each as a few words."""
    was, now = (dict(_flat({k: v for k, v in to_json(m).items() if k not in _WRITTEN})) for m in (there, wanted))
    words = _WORDS if wanted.reading is None else _WORDS | _OF_TEXTS
    return [
        f"{words.get(name, name)} {_short(was.get(name))} there and {_short(now.get(name))} here"
        for name in dict.fromkeys([*was, *now])
        if was.get(name) != now.get(name)
    ]


def _flat(data: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its place; of a list, only those that hold dicts are opened."""
    inside = data.items() if isinstance(data, dict) else enumerate(data, start=1)
    for name, value in inside:
        deeper = isinstance(value, dict) or (isinstance(value, list) and any(isinstance(v, dict) for v in value))
        if deeper:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _short(value: Any) -> str:
    said = str(value)
    return said if len(said) <= 24 else f"{said[:16]}..."
