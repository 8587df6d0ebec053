"""PACT (arXiv 1805.06085): the clip level of an activation is learned, from the clipped elements alone."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import SMALLEST_SCALE, Startable, rule_named
from stillbit.quantizers.calibrate import standard
from stillbit.quantizers.granularity import Blocks, spread
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent


@final
class PACT(Startable):
    """value = snap(clip(x, 0, level)), scale = level / (2^bits - 1); d value / d level is 1 where x >= level, else 0.

    On a signed grid the clip is symmetric. The level is the parameter, as in the paper: an optimizer's step moves it by
    the same amount at every bit-width.
    """

    serves = frozenset({"activation"})

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "mse") -> None:
        """Before any data the level fits standard normal numbers."""
        super().__init__(grid, blocks, start=start)
        self.top = grid.high + grid.offset
        level = standard(grid).scale.item() * self.top
        self.level = nn.Parameter(torch.full(self.blocks, level, dtype=torch.float32))

    def positive(self) -> Float[Tensor, "*blocks"]:
        """The level, made positive."""
        return self.level.abs().clamp_min(SMALLEST_SCALE)

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """Level / (2^bits - 1), without gradient: PACT's gradient comes through the clip."""
        return self.positive().detach() / self.top

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x`` clipped at the learned level."""
        level = spread(self.positive(), x.shape)
        clipped = torch.where(x >= level, level, x)
        clipped = torch.where(x <= -level, -level, clipped) if self.grid.signed else torch.where(x < 0, 0, clipped)
        # Clipped already; the rounding of level / scale must not clip again and take the level's gradient.
        return Latent(clipped.to(x.dtype), self.grid, self.scale_of(x), clips=False)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin at the level that ``rule`` finds in ``x``; a block of zeros says nothing and keeps its level."""
        level = rule_named(rule or self.rule)(x, self.grid, self.blocks, False).scale * self.top
        self.level.copy_(torch.where(level > SMALLEST_SCALE, level, self.positive()))
        self.started.fill_(True)
