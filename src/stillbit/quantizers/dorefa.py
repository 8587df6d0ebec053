"""DoReFa-Net (arXiv 1606.06160): weights squashed by tanh onto [-1, 1], activations clipped to [0, 1]."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.quantizers.base import SMALLEST_SCALE, Quantizer, symmetric
from stillbit.quantizers.granularity import Blocks, gather, spread, wide
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
        return self._size(x) * (2.0 / (self.grid.levels - 1))

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """The squashed weight, in units of its own size."""
        squashed = wide(x).tanh() / spread(self._reach(x), x.shape) * spread(self._size(x), x.shape)
        return Latent(squashed.to(x.dtype), self.grid, self.scale_of(x))

    def _reach(self, x: Tensor) -> Tensor:
        return gather(wide(x).tanh(), self.blocks).abs().amax(1).reshape(self.blocks).clamp_min(SMALLEST_SCALE)

    def _size(self, x: Tensor) -> Tensor:
        x = wide(x)
        with torch.no_grad():
            if not self.sized:
                return torch.ones(self.blocks, dtype=x.dtype, device=x.device)
            squashed = gather(x.tanh(), self.blocks).abs().mean(1).reshape(self.blocks) / self._reach(x)
            size = gather(x, self.blocks).abs().mean(1).reshape(self.blocks) / squashed.clamp_min(SMALLEST_SCALE)
            return size.clamp_min(SMALLEST_SCALE)


@final
class DoReFaActivation(Quantizer):
    """quantize(clip(x, 0, 1)): a fixed range; on a signed grid [-1, 1]."""

    serves = frozenset({"activation"})

    def __init__(self, grid: Grid, blocks: Blocks) -> None:
        """There is nothing to learn or to store: the scale is a constant."""
        super().__init__(grid, blocks)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """1 / high."""
        return torch.full(self.blocks, 1.0 / max(self.grid.high, 1), dtype=torch.float32, device=x.device)
