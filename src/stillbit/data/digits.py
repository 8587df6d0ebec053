"""Scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, for quick tests."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor


@final
class Digits:
    """Every fourth digit is for validation."""

    def __init__(self, split: Literal["train", "val"]) -> None:
        try:
            from sklearn.datasets import load_digits
        except ModuleNotFoundError:
            raise ValueError("the digits come with scikit-learn: pip install scikit-learn") from None
        bunch = load_digits()
        held_out = np.arange(len(bunch.target)) % 4 == 0
        kept = held_out if split == "val" else ~held_out
        # 0 to 16 in the file, 0 to 255 here.
        self.pixels = (bunch.images[kept].astype(np.int64) * 255 // 16).astype(np.uint8)
        self.labels = bunch.target[kept].astype(np.int64)
        self.classes = tuple(str(name) for name in bunch.target_names)
        self.split = split

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int, epoch: int) -> UInt8[Tensor, "1 8 8"]:
        """One channel."""
        return torch.from_numpy(self.pixels[index])[None]

    def label(self, index: int) -> int:
        """The digit."""
        return int(self.labels[index])

    def name(self, index: int) -> str:
        """Its split and number."""
        return f"digit {index} of {self.split}"

    def describe(self) -> dict[str, Any]:
        """The pixels are few enough to hash them all."""
        return {"kind": "digits", "count": len(self), "fingerprint": sha256(self.pixels).hexdigest()}
