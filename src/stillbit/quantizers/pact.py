"""PACT (arXiv 1805.06085): the clip level of an activation is learned, from the clipped elements alone."""

from __future__ import annotations

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from stillbit.quantizers.base import Learned
from stillbit.quantizers.granularity import spread
from stillbit.quantizers.snap import Latent


@final
class PACT(Learned):
    """value = snap(clip(x, 0, level)), scale = level / (2^bits - 1); d value / d level is 1 where x >= level, else 0.

    On a signed grid the clip is symmetric. ``scale`` is the parameter; the level is its multiple, so one unit serves
    every bit-width and every start value.
    """

    serves = frozenset({"activation"})

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The scale, without gradient: PACT's gradient comes through the clip."""
        return self.positive().detach()

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x`` clipped at the learned level."""
        level = spread(self.positive(), x.shape) * (self.grid.high + self.grid.offset)
        clipped = torch.where(x >= level, level, x)
        clipped = torch.where(x <= -level, -level, clipped) if self.grid.signed else torch.where(x < 0, 0, clipped)
        # Clipped already; the rounding of level / scale must not clip again and take the level's gradient.
        return Latent(clipped.to(x.dtype), self.grid, self.scale_of(x), clips=False)
