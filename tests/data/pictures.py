"""Small images for the tests of data: in memory, and as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stillbit.data.look import Look

LOOK = Look((16, 16))


def pixels(height: int, width: int, number: int = 0, channels: int = 3) -> Tensor:
    """Smooth colours that differ from number to number."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    waves = [torch.sin((x * (c + 1) + y * (number % 7 + 1)) / 9 + number) for c in range(channels)]
    return (torch.stack(waves) * 127 + 128).to(torch.uint8)


def image(height: int, width: int, number: int = 0, mode: str = "RGB") -> Image.Image:
    return Image.fromarray(pixels(height, width, number).permute(1, 2, 0).numpy()).convert(mode)


class Row:
    """A source of images in memory, each of a size of its own."""

    def __init__(self, count: int, classes: Sequence[str] = ("a", "b", "c")) -> None:
        self.count, self.classes = count, tuple(classes)

    def __len__(self) -> int:
        return self.count

    def image(self, index: int, epoch: int) -> Tensor:
        return pixels(20 + index % 5, 24 - index % 3, index)

    def label(self, index: int) -> int:
        return index % len(self.classes)

    def name(self, index: int) -> str:
        return f"image {index}"

    def describe(self) -> dict[str, Any]:
        return {"kind": "row", "count": self.count}


def folder(root: Path, count: int = 4, classes: Sequence[str] = ("cat", "dog")) -> Path:
    """An ImageFolder with two splits."""
    for split in ("train", "val"):
        for label, name in enumerate(classes):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                image(20, 24, number + 10 * label).save(root / split / name / f"{number}.png")
    return root


def cut_in_half(path: Path) -> None:
    held = path.read_bytes()
    path.write_bytes(held[: len(held) // 2])


def wide(path: Path) -> None:
    """16 bits a pixel."""
    Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20) * 100).save(path)
