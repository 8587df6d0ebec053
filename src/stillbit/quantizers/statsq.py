"""StatsQ (OFQ, arXiv 2302.02210): the scale is a statistic of the weights, so nothing chases anything.

    alpha = reach * mean|w|,   n = 2^(bits - 1),
    value = alpha * (round(clip(w / alpha, -1, 1) * n - 1/2) + 1/2) / n

which is a mid-rise grid with scale alpha / n. The paper's reach is 2 at every width; that clips 11 % of normal weights
even at 4 bits. ``reach="bits"`` takes the multiple of least squared error for normal weights at each width instead.
"""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.quantizers.base import SMALLEST_SCALE, Quantizer, symmetric
from stillbit.quantizers.granularity import Blocks, gathered_sum, wide
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent

PAPER_REACH = 2.0
BITS_REACH = (2.0, 2.4958, 2.9379, 3.3609, 3.7728, 4.1736, 4.5615, 4.935)
"""alpha / mean|w| of least squared error on N(0, 1) for 1 .. 8 bits (recomputed by a test)."""


@final
class StatsQ(Quantizer):
    """Scale from the mean magnitude, without gradient; straight-through everywhere, also where it clips."""

    serves = frozenset({"weight"})

    def __init__(self, grid: Grid, blocks: Blocks, *, reach: str = "paper") -> None:
        """``reach`` is "paper" (2 at every width) or "bits" (of least squared error for the width)."""
        super().__init__(symmetric(grid), blocks)
        if reach not in ("paper", "bits"):
            raise ValueError(f"reach must be 'paper' or 'bits', got {reach!r}")
        self.reach = PAPER_REACH if reach == "paper" else BITS_REACH[grid.bits - 1]

    @classmethod
    def grid_for(cls, bits: int, signed: bool) -> Grid:
        """Always mid-rise."""
        return Grid(bits, True, 0.5)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """Reach * mean|x| / 2^(bits - 1)."""
        with torch.no_grad():
            count = x.numel() / max(1, torch.Size(self.blocks).numel())
            mean = gathered_sum(wide(x).abs(), self.blocks) / count
            return (mean * (2 * self.reach / self.grid.levels)).clamp_min(SMALLEST_SCALE)

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x``, with its gradient open everywhere."""
        return Latent(x, self.grid, self.scale_of(x), clips=False)
