"""Images in folders, one folder a class: the layout of ImageNet and of torchvision's ImageFolder."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any, final

import numpy as np
from PIL import Image

from stillbit.data.decode import SUFFIXES, decode


@final
class Folder:
    """``ROOT/CLASS/.../image``, classes and images in the order of torchvision; hidden folders are left out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with os.scandir(root) as entries:
            self.classes = tuple(sorted(e.name for e in entries if e.is_dir() and not e.name.startswith(".")))
        if not self.classes:
            raise ValueError(f"there are no class folders in {root}: put the images into {root / 'CLASS'}")
        found = [_images(root, name) for name in self.classes]
        # Arrays of bytes, because workers would copy a list of a million strings page by page as they count references.
        self.paths = np.array([path for paths in found for path in paths])
        self.labels = np.repeat(np.arange(len(found)), [len(paths) for paths in found])

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int, epoch: int) -> Image.Image:
        """The decoded file."""
        path = self.name(index)
        return decode(path, path)

    def label(self, index: int) -> int:
        """The place of its folder among the sorted ones."""
        return int(self.labels[index])

    def name(self, index: int) -> str:
        """The path of the file."""
        return os.path.join(self.root, os.fsdecode(bytes(self.paths[index])))

    def describe(self) -> dict[str, Any]:
        """The fingerprint is one of names: hashing all bytes would take longer than an epoch."""
        digest = sha256(b"\n".join(self.paths.tolist()))
        return {"kind": "folder", "root": str(self.root), "count": len(self), "fingerprint": digest.hexdigest()}


def _images(root: Path, name: str) -> list[bytes]:
    """The images of a class, relative to the root."""
    found: list[bytes] = []
    others: set[str] = set()
    for folder, _, files in sorted(os.walk(root / name, followlinks=True)):
        inside = os.path.relpath(folder, root)
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES):
                found.append(os.fsencode(os.path.join(inside, file)))
            else:
                others.add(os.path.splitext(file)[1] or file)
    if not found:
        held = f"only {', '.join(sorted(others)[:5])}" if others else "nothing"
        raise ValueError(
            f"the class folder {root / name} holds {held}: remove it, or give it images ({' '.join(SUFFIXES)})"
        )
    return found
