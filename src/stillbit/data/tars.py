"""WebDataset tars, read by number.

timm's own reader streams them: which image comes when depends on the number of workers and ranks, so a sample would
not be a function of seed, epoch and index. Here the members are listed once, and then read wherever they lie.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
from PIL import Image

from stillbit.data.decode import decode
from stillbit.data.source import DamagedImage

_IMAGES = ("jpg", "jpeg", "png", "webp")


class _Sample(NamedTuple):
    key: str
    offset: int
    size: int
    label: int


@final
class Tars:
    """Tars with ``KEY.jpg`` (or png, webp) and ``KEY.cls``, a number in text, side by side.

    The tars of a split are those that ``_info.json`` lists, as timm writes it, else ``ROOT/SPLIT/*.tar``, else
    ``ROOT/*SPLIT*.tar``; a split with ``.tar`` in it is a pattern itself. ``class_names`` in ``_info.json`` name the
    classes.
    """

    def __init__(self, root: Path, split: str) -> None:
        info = _info(root)
        self.tars = _shards(root, split, info)
        samples = [list(_index(path)) for path in self.tars]
        flat = [sample for held in samples for sample in held]
        if not flat:
            raise ValueError(f"the tars of {split} in {root} hold no images: they need KEY.jpg and KEY.cls")
        self.tar_of = np.repeat(np.arange(len(samples)), [len(held) for held in samples])
        self.places = np.array([(s.offset, s.size) for s in flat])
        self.labels = np.array([s.label for s in flat])
        self.keys = np.array([os.fsencode(s.key) for s in flat])
        names = info.get("class_names") or [str(number) for number in range(int(self.labels.max()) + 1)]
        self.classes: tuple[str, ...] = tuple(names)
        if not 0 <= self.labels.min() <= self.labels.max() < len(self.classes):
            raise ValueError(f"labels in {root} go from {self.labels.min()} to {self.labels.max()}, and _info.json "
                             f"names {len(self.classes)} classes: correct its class_names")  # fmt: skip

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int, epoch: int) -> Image.Image:
        """The decoded member."""
        offset, size = self.places[index].tolist()
        with open(self.tars[self.tar_of[index]], "rb") as file:
            file.seek(offset)
            held = file.read(size)
        if len(held) < size:
            raise DamagedImage(self.name(index), "the tar ends within it")
        return decode(BytesIO(held), self.name(index))

    def label(self, index: int) -> int:
        """What its ``.cls`` says."""
        return int(self.labels[index])

    def name(self, index: int) -> str:
        """The tar and the key in it."""
        return f"{self.tars[self.tar_of[index]]}:{os.fsdecode(bytes(self.keys[index]))}"

    def describe(self) -> dict[str, Any]:
        """The fingerprint is one of keys, places and labels."""
        digest = sha256(b"\n".join(self.keys.tolist()))
        digest.update(self.places.tobytes() + self.labels.tobytes())
        return {"kind": "wds", "tars": len(self.tars), "count": len(self), "fingerprint": digest.hexdigest()}


def _info(root: Path) -> dict[str, Any]:
    for name in ("_info.json", "info.json"):
        if (root / name).is_file():
            try:
                return dict(json.loads((root / name).read_text()))
            except ValueError:
                raise ValueError(f"{root / name} is no JSON object: correct it or remove it") from None
    return {}


def _shards(root: Path, split: str, info: dict[str, Any]) -> list[Path]:
    listed = info.get("splits", {})
    for name in (split, *({"val", "validation"} if split in ("val", "validation") else ())):
        if name in listed:
            return _present([root / file for file in listed[name]["filenames"]])
        patterns = [name] if ".tar" in name else [f"{name}/*.tar", f"*{name}*.tar"]
        for pattern in patterns:
            if found := sorted(root.glob(pattern)):
                return found
    there = ", ".join(sorted(path.name for path in root.glob("*.tar"))[:4])
    if not there:
        raise ValueError(f"there are no tars in {root}: give the folder that holds them, --data-dir FOLDER")
    raise ValueError(f"there are no tars of the split {split} in {root}, but {there}: name the split as they do")


def _present(paths: list[Path]) -> list[Path]:
    for path in paths:
        if not path.is_file():
            raise ValueError(f"_info.json lists {path.name}, which is not in {path.parent}: fetch it or take it off")
    return paths


def _index(path: Path) -> Iterator[_Sample]:
    """The samples of a tar; members that share a name up to its first dot are one sample."""
    key, image, label = "", None, None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, name = os.path.split(member.name)
                stem, _, kind = name.partition(".")
                if not member.isfile() or not stem:
                    continue
                if (here := os.path.join(folder, stem)) != key:
                    key, image, label = here, None, None
                if kind.lower() in _IMAGES:
                    image = member
                elif kind == "cls":
                    label = _number(tar, member, path)
                if image is not None and label is not None:
                    yield _Sample(key, image.offset_data, image.size, label)
                    image = label = None
            _check_end(tar)
    except (tarfile.TarError, OSError) as error:
        raise ValueError(f"{path} is damaged or no plain tar ({error}): fetch it again") from None


def _check_end(tar: tarfile.TarFile) -> None:
    """A tar ends with blocks of zeros; Python takes a header that is cut off for an end as well."""
    assert tar.fileobj is not None, "it is open"
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it is cut off")


def _number(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> int:
    file = tar.extractfile(member)
    assert file is not None, "only files are read"
    text = file.read().strip()
    if not text.isdigit():
        raise ValueError(f"{path}:{member.name} holds {text[:20]!r}: a .cls is the number of a class")
    return int(text)
