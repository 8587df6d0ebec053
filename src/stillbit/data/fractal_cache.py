"""Fractals on disk: drawn once in bulk, read for ever after.

A finished folder holds ``train.npy``, ``val.npy`` and ``manifest.json``, which is written last. While it is being made,
``unfinished.json`` says what it will be, and blocks of images are appended to ``train.npy.part``: whatever moment the
process is killed at, the length of the file tells where to go on.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stillbit.data.fractals import Fractals
from stillbit.data.settings import FractalSettings
from stillbit.data.whole import whole

FORMAT = 1
_MANIFEST, _UNFINISHED = "manifest.json", "unfinished.json"
_BLOCK = 8 << 20
"""Bytes of images drawn between two writes."""
_SPLITS: tuple[Literal["train"], Literal["val"]] = ("train", "val")

Progress = Callable[[int, int], None]


def render(settings: FractalSettings, out: Path, workers: int = 2, progress: Progress | None = None) -> Path:
    """Draw a data set into the folder ``out``, or go on where an earlier call stopped; ``progress`` hears (done, all).

    A finished folder of the same settings is checked and left as it is, and one with anything else in it is refused.
    """
    wanted = {"format": FORMAT, "kind": "fractals", "settings": asdict(settings)}
    if is_cache(out):
        _check_same(out, _read(out / _MANIFEST), wanted)
        _check_bytes(out)
        (out / _UNFINISHED).unlink(missing_ok=True)
        return out
    _claim(out, wanted)
    counts = {split: _count(settings, split) for split in _SPLITS}
    _check_room(out, sum(counts.values()) * 3 * settings.size**2)
    done = 0
    for split in _SPLITS:
        for here in _draw_split(settings, split, out, workers):
            if progress is not None:
                progress(done + here, sum(counts.values()))
        done += counts[split]
    hashes = {split: _sha256(out / f"{split}.npy") for split in _SPLITS}
    _write(out / _MANIFEST, {**wanted, "counts": counts, "sha256": hashes})
    (out / _UNFINISHED).unlink()
    return out


def is_cache(folder: Path) -> bool:
    """Whether `render` made this folder, and finished it."""
    return (folder / _MANIFEST).is_file() and _read(folder / _MANIFEST).get("kind") == "fractals"


@final
class FractalSource:
    """The images of a folder that `render` made; with ``fresh`` others of the same classes in every epoch."""

    def __init__(self, folder: Path, split: Literal["train", "val"], *, fresh: bool = False) -> None:
        if not is_cache(folder):
            made = "was not finished" if (folder / _UNFINISHED).exists() else "holds no fractals"
            raise ValueError(f"{folder} {made}: stillbit data fractals --output {folder}")
        manifest = _read(folder / _MANIFEST)
        if manifest["format"] != FORMAT:
            raise ValueError(f"{folder} holds fractals of another stillbit (format {manifest['format']}): "
                             f"make them again, stillbit data fractals --output NEW_FOLDER")  # fmt: skip
        self.folder, self.split, self.fresh = folder, split, fresh
        self.settings = FractalSettings(**manifest["settings"])
        self.sha256: str = manifest["sha256"][split]
        self.pixels = np.lib.format.open_memmap(folder / f"{split}.npy", mode="r")
        self.fractals = Fractals(self.settings)
        digits = len(str(self.settings.classes - 1))
        self.classes = tuple(f"fractal {number:0{digits}}" for number in range(self.settings.classes))

    def __len__(self) -> int:
        return _count(self.settings, self.split)

    def image(self, index: int, epoch: int) -> UInt8[Tensor, "3 size size"]:
        """A copy, for the file is only open for reading."""
        if self.fresh:
            # Epoch 0 of the generator is what is in the file.
            return torch.from_numpy(self.fractals.draw(self.split, np.array([index]), epoch + 1)[0])
        return torch.from_numpy(np.array(self.pixels[index]))

    def label(self, index: int) -> int:
        """Classes take turns."""
        return self.fractals.label(index)

    def name(self, index: int) -> str:
        """Its split and number."""
        return f"fractal {index} of {self.split} in {self.folder}"

    def describe(self) -> dict[str, Any]:
        """The settings say all; the hash is of the file."""
        settings = asdict(self.settings)
        return {"kind": "fractals", "count": len(self), "fresh": self.fresh, "settings": settings,
                "fingerprint": self.sha256}  # fmt: skip


class _Blocks(Dataset[Tensor]):
    """Blocks of images; a DataLoader draws them in processes that end when their parent is killed."""

    def __init__(self, settings: FractalSettings, split: Literal["train", "val"], first: int, size: int) -> None:
        self.fractals, self.split, self.first, self.size = Fractals(settings), split, first, size
        self.count = _count(settings, split)

    def __len__(self) -> int:
        return -(-(self.count - self.first) // self.size)

    def __getitem__(self, number: int) -> UInt8[Tensor, "n 3 size size"]:
        begin = self.first + number * self.size
        indices = np.arange(begin, min(begin + self.size, self.count))
        return torch.from_numpy(self.fractals.draw(self.split, indices))


def _draw_split(settings: FractalSettings, split: Literal["train", "val"], out: Path, workers: int) -> Iterator[int]:
    """Append what is missing of a split, and say after each block how many images there are."""
    ready, part = out / f"{split}.npy", out / f"{split}.npy.part"
    if ready.exists():
        yield _count(settings, split)
        return
    header, image = _header(settings, split), 3 * settings.size**2
    with open(part, "ab") as file:
        done = max(0, file.tell() - len(header)) // image
        file.truncate(len(header) + done * image if done else 0)
        if not done:
            file.write(header)
        pending = _Blocks(settings, split, done, max(1, _BLOCK // image))
        for drawn in DataLoader(
            pending, batch_size=None, num_workers=min(workers, len(pending)), generator=torch.Generator()
        ):
            file.write(drawn.numpy())
            file.flush()
            done += len(drawn)
            yield done
        os.fsync(file.fileno())
    if part.stat().st_size != len(header) + pending.count * image:
        raise ValueError(f"another process writes to {out} too: remove the folder, and make it with one alone")
    os.replace(part, ready)


def _count(settings: FractalSettings, split: Literal["train", "val"]) -> int:
    return settings.classes * (settings.images if split == "train" else settings.val_images)


def _header(settings: FractalSettings, split: Literal["train", "val"]) -> bytes:
    shape = (_count(settings, split), 3, settings.size, settings.size)
    written = BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return written.getvalue()


def _claim(out: Path, wanted: dict[str, Any]) -> None:
    """Take an empty folder, or one that was begun with the same settings."""
    if (out / _UNFINISHED).is_file():
        _check_same(out, _read(out / _UNFINISHED), wanted)
        return
    # What a killed write left has a name that begins with a dot.
    if out.exists() and (not out.is_dir() or any(path.name[0] != "." for path in out.iterdir())):
        raise ValueError(f"{out} exists and holds something else: choose a folder that is new or empty")
    out.mkdir(parents=True, exist_ok=True)
    _write(out / _UNFINISHED, wanted)


def _check_same(out: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    if there.get("format") != FORMAT:
        raise ValueError(
            f"{out} holds fractals of another stillbit (format {there.get('format')}): choose a new folder"
        )
    was, now = there["settings"], wanted["settings"]
    other = [f"{name} {was.get(name)} and not {now[name]}" for name in now if was.get(name) != now[name]]
    if other:
        raise ValueError(f"{out} holds other fractals, with {', '.join(other)}: choose a new folder, or those settings")


def _check_bytes(out: Path) -> None:
    for split, digest in _read(out / _MANIFEST)["sha256"].items():
        path = out / f"{split}.npy"
        if not path.is_file() or _sha256(path) != digest:
            raise ValueError(f"{path} is damaged or missing: remove the folder {out} and make it again")


def _check_room(out: Path, needed: int) -> None:
    there = sum(path.stat().st_size for path in out.iterdir())
    free = shutil.disk_usage(out).free
    if needed - there > free:
        raise ValueError(
            f"{needed / 1e9:.2f} GB of fractals do not fit on the disk of {out}, which has {free / 1e9:.2f} GB left: "
            "free some, or ask for fewer or smaller images"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Nothing, if it is another program's file."""
    try:
        held = json.loads(path.read_text())
    except ValueError:
        return {}
    return held if isinstance(held, dict) else {}


def _write(path: Path, data: dict[str, Any]) -> None:
    with whole(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n")
