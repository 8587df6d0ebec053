"""KURE (Robust Quantization, NeurIPS 2020): weights whose kurtosis is that of a uniform distribution.

    L = mean over layers of ( E[((w - mean) / std)^4] - target )^2,   target = 1.8

It shapes a whole layer and knows nothing of bins; in VVTQ's comparison it makes oscillation slightly worse.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.dynamics.low_bit import LOW, low_bit
from stillbit.quantizers.granularity import wide

UNIFORM = 1.8
"""The kurtosis of a uniform distribution."""


@final
class Kurtosis:
    """The mean squared distance to the target over the low-bit weights; it depends on no layer's size."""

    name: ClassVar[str] = "kurtosis"

    def __init__(self, model: nn.Module, *, bits: tuple[int, ...] = LOW, target: float = UNIFORM) -> None:
        """``model`` comes bare, not in its wrapper."""
        self.weights = low_bit(model, "KURE", bits)
        self.target = target

    def __call__(self) -> Float[Tensor, ""]:
        """The penalty now."""
        found = torch.stack([kurtosis(weight.parameter) for weight in self.weights])
        return (found - self.target).square().mean()


def kurtosis(weight: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """E[((w - mean) / std)^4], of the population; of a constant it is 0."""
    squares = (wide(weight) - wide(weight).mean()).square()
    variance = squares.mean()
    return squares.square().mean() / variance.square().clamp_min(torch.finfo(squares.dtype).tiny)
