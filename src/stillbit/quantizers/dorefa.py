"""DoReFa-Net (arXiv 1606.06160): weights squashed by tanh onto [-1, 1], activations clipped to [0, 1]."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.quantizers.base import SMALLEST_SCALE, Quantizer, symmetric
from stillbit.quantizers.granularity import Blocks, gather, gathered_sum, spread, wide
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent


@final
class DoReFaWeight(Quantizer):
    """2 * quantize(tanh(w) / (2 max|tanh w|) + 1/2) - 1: the 2^bits levels of [-1, 1], a mid-rise grid.

    The paper trains from scratch and leaves the result on [-1, 1]; a pretrained layer keeps its size here instead:
    the grid is scaled by mean|w| / mean|squashed w| of the block (``sized=False`` is the paper's form).
    """

    serves = frozenset({"weight"})

    def __init__(self, grid: Grid, blocks: Blocks, *, sized: bool = True) -> None:
        """``sized`` keeps the mean magnitude of a pretrained weight."""
        super().__init__(symmetric(grid), blocks)
        self.sized = sized

    @classmethod
    def grid_for(cls, bits: int, signed: bool) -> Grid:
        """Always mid-rise."""
        return Grid(bits, True, 0.5)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """2 / (2^bits - 1), times the size of the block."""
        return self._squash(x)[1] * (2.0 / (self.grid.levels - 1))

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """The squashed weight, in units of its own size."""
        squashed, size = self._squash(x)
        scale = size * (2.0 / (self.grid.levels - 1))
        # In range by construction; the rounding of its largest element must not clip it.
        return Latent((squashed * spread(size, x.shape)).to(x.dtype), self.grid, scale, clips=False)

    def _squash(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """tanh(x) / max|tanh(x)| a block, and the size that gives the block its mean magnitude back."""
        x = wide(x)
        squashed = x.tanh()
        reach = gather(squashed, self.blocks).abs().amax(1).reshape(self.blocks).clamp_min(SMALLEST_SCALE)
        squashed = squashed / spread(reach, x.shape)
        with torch.no_grad():
            if not self.sized:
                return squashed, torch.ones_like(reach)
            magnitude = gathered_sum(squashed.abs(), self.blocks).clamp_min(SMALLEST_SCALE)
            return squashed, (gathered_sum(x.abs(), self.blocks) / magnitude).clamp_min(SMALLEST_SCALE)


@final
class DoReFaActivation(Quantizer):
    """quantize(clip(x, 0, 1)): a fixed range; on a signed grid [-1, 1], with levels of -1/2 and 1/2 at one bit."""

    serves = frozenset({"activation"})

    def __init__(self, grid: Grid, blocks: Blocks) -> None:
        """There is nothing to learn or to store: the scale is a constant."""
        super().__init__(grid, blocks)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """1 / high."""
        return torch.full(self.blocks, 1.0 / max(self.grid.high, 1), dtype=torch.float32, device=x.device)
