"""Folders of small images, whole and damaged, as people have them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Write = Callable[[Path, "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]"], None]


def jpeg(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    Image.fromarray(pixels).save(path.with_suffix(".jpg"))


def text(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.with_suffix(".jpg").write_text("an apple")


def heic(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.with_suffix(".heic").write_bytes(pixels.tobytes())


def deep(path: Path, pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 256).save(path.with_suffix(".png"))


def split(root: Path, name: str, classes: str = "ab", count: int = 8, write: Write = jpeg) -> Path:
    """``ROOT/NAME/CLASS/NUMBER.jpg``: images of noise, each class of its own brightness."""
    chance = np.random.default_rng(len(name))
    for number, label in enumerate(classes):
        folder = root / name / label
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = chance.integers(0, 100, (12, 14, 3)) + 70 * number
            write(folder / f"{index}", pixels.astype(np.uint8))
    return root


def pictures(root: Path, write: Write = jpeg, val: Write = jpeg, val_classes: str = "ab") -> Path:
    """A data set of two classes: 16 images to train on, 8 to be judged by."""
    split(root, "train", write=write)
    return split(root, "val", val_classes, 4, val)
