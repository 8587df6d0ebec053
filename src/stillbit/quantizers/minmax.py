"""MinMax: the range is measured, not learned. The simplest baseline."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.quantizers.base import SMALLEST_SCALE, Startable, rule_named
from stillbit.quantizers.calibrate import standard
from stillbit.quantizers.granularity import Blocks, gather, wide
from stillbit.quantizers.grid import Grid


@final
class MinMax(Startable):
    """Scale from the largest magnitude: of the tensor itself (weights), or of the calibration data (activations)."""

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "minmax", live: bool = False) -> None:
        """``live=True`` measures the tensor anew in every forward pass, as weights want it."""
        super().__init__(grid, blocks, start=start)
        self.live = live
        self.register_buffer("scale", torch.full(self.blocks, standard(grid).scale.item(), dtype=torch.float32))
        self.scale: Tensor

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The measured scale; no gradient."""
        if not self.live:
            return self.scale
        with torch.no_grad():
            reach = wide(gather(x, self.blocks).abs().amax(1).reshape(self.blocks))
            return (reach / (self.grid.high + self.grid.offset)).clamp_min(SMALLEST_SCALE)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Measure ``x``."""
        begin = rule_named(rule or self.rule)(x, self.grid, self.blocks, False)
        self.scale.copy_(begin.scale.clamp_min(SMALLEST_SCALE))
        self.started.fill_(True)
