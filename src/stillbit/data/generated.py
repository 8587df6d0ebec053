"""Noise in the shape of a data set: to see what a training would cost where its images are not at hand."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import UInt8
from torch import Tensor

from stillbit.data.chance import hashes

_NOISE = 9  # what the random numbers are for: the first part of their key


@final
class Generated:
    """``count`` images of noise."""

    def __init__(self, count: int, classes: int, size: tuple[int, int], channels: int) -> None:
        self.count, self.shape = count, (channels, *size)
        self.classes = tuple(str(number) for number in range(classes))

    def __len__(self) -> int:
        return self.count

    def image(self, index: int, epoch: int) -> UInt8[Tensor, "c h w"]:
        """Noise, the same for the same index."""
        generator = torch.Generator().manual_seed(int(hashes(1, _NOISE, index)[0] >> 1))
        return torch.randint(256, self.shape, generator=generator, dtype=torch.uint8)

    def label(self, index: int) -> int:
        """Classes take turns."""
        return index % len(self.classes)

    def name(self, index: int) -> str:
        """Its number."""
        return f"generated image {index}"

    def describe(self) -> dict[str, Any]:
        """What was asked for."""
        return {"kind": "generated", "count": self.count, "shape": list(self.shape)}
