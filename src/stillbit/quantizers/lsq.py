"""Learned step sizes: LSQ (arXiv 1902.08153) and LSQ+ (CVPRW 2020), which adds a learned shift."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import Learned, rule_named
from stillbit.quantizers.calibrate import standard
from stillbit.quantizers.granularity import Blocks
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent


@final
class LSQ(Learned):
    """The scale is learned; its gradient is that of the value, times a gradient scale."""


@final
class LSQPlus(Learned):
    """LSQ with a learned shift: value = code * scale + shift, for tensors that do not lie around zero."""

    serves = frozenset({"activation"})

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "mse", gradscale: str = "by_count") -> None:
        """Before any data, scale and shift fit the GELU of standard normal numbers."""
        super().__init__(grid, blocks, start=start, gradscale=gradscale)
        begin = standard(grid, shifted=True)
        assert begin.shift is not None, "asked for with a shift"
        self.shift = nn.Parameter(torch.full(self.blocks, begin.shift.item(), dtype=torch.float32))
        with torch.no_grad():
            self.scale.fill_(begin.scale.item())

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x``, to be centred by the shift, which the value adds again."""
        return Latent(x, self.grid, self.scale_of(x), self.shift)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin at the scale and shift that ``rule`` finds in ``x``."""
        begin = rule_named(rule or self.rule)(x, self.grid, self.blocks, True)
        assert begin.shift is not None, "asked for with a shift"
        self.take(begin)
        self.shift.copy_(begin.shift)
