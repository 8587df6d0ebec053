"""Where the latent weights of a layer lie between the centres of their bins and the thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from stillbit.analysis.finite import check_finite
from stillbit.dynamics.boundary import distances, positions
from stillbit.dynamics.low_bit import low_bit
from stillbit.layers.walk import QuantizedWeight

NEAR = 0.05
"""Of a step. Where weights lie evenly in the range, a tenth of them is this near to a threshold."""
BAND = 0.005
"""The same for the band of OFQ's annealing, which is a hundredth of the range."""
BARS = 80
"""About as many lie within the range."""


@dataclass(frozen=True, kw_only=True)
class Latents:
    """A histogram of the latents of a layer in units of codes, whatever their scales.

    Code k is the bin centre k, and reaches from the threshold k - 1/2 to the threshold k + 1/2. Bar i counts the
    weights from ``first + i / per_code`` to ``first + (i + 1) / per_code``.
    """

    layer: str
    bits: int
    weights: int
    low: int
    """The smallest code, and the first bin centre."""
    high: int
    """The largest code, and the last bin centre."""
    first: float
    """Where the first bar begins: one code below the smallest one."""
    per_code: int
    """Bars from a code to the next; even, so that no bar lies across a threshold."""
    counts: tuple[int, ...]
    """Bars, up to one code above the largest one."""
    below: int
    """Weights further down than the first bar."""
    above: int
    """Weights further up than the last one."""
    clipped: float
    """Share of the weights more than half a step beyond the outermost bin centres."""
    near: float
    """Share of the weights within `NEAR` of a threshold."""
    undecided: float
    """Share of the weights within `BAND` of a threshold."""


def latents(model: nn.Module, subject: str = "this model") -> tuple[Latents, ...]:
    """Of every layer whose weights have up to four bits; ``subject`` is what a message calls the model."""
    check_finite(model, subject)
    return tuple(histogram(weight) for weight in low_bit(model, "the histogram of latents"))


@torch.no_grad()
def histogram(weight: QuantizedWeight) -> Latents:
    """Of one layer."""
    latent = weight.latent()
    away = distances(latent)
    here, grid = positions(latent).double().flatten(), weight.quantizer.grid
    first, last = grid.low - 1, grid.high + 1
    per_code = 2 * max(1, BARS // (2 * grid.levels))
    bar = ((here - first) * per_code).floor()
    bars = (last - first) * per_code
    inside = bar[(bar >= 0) & (bar < bars)].long()
    return Latents(
        layer=weight.name,
        bits=grid.bits,
        weights=here.numel(),
        low=grid.low,
        high=grid.high,
        first=float(first),
        per_code=per_code,
        counts=tuple(torch.bincount(inside, minlength=bars).tolist()),
        below=int((bar < 0).sum()),
        above=int((bar >= bars).sum()),
        clipped=((here < grid.low - 0.5) | (here > grid.high + 0.5)).double().mean().item(),
        near=(away <= NEAR).double().mean().item(),
        undecided=(away <= BAND).double().mean().item(),
    )
