"""One bit: BiT's elastic binarization (arXiv 2205.13016) and the mean-scaled sign."""

from __future__ import annotations

from typing import Literal, final, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import SMALLEST_SCALE, Learned, Quantizer, known, rule_named
from stillbit.quantizers.granularity import Blocks, gathered_sum, spread, wide
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent

Ste = Literal["identity", "clipped"]


@final
class Elastic(Learned):
    """alpha * sign(x - beta) on a signed grid, alpha * round(clip((x - beta) / alpha, 0, 1)) on an unsigned one.

    Both alpha and beta are learned; beta moves the threshold and is *not* added back. The signed grid has the levels
    -scale/2 and +scale/2, so alpha is half the scale. A sign does not depend on alpha: its gradient is the sign alone,
    where that of {0, 1} is LSQ's.
    """

    serves = frozenset({"activation"})

    def __init__(self, grid: Grid, blocks: Blocks, *, start: str = "mean_magnitude") -> None:
        """``grid`` must have one bit."""
        if grid.bits != 1:
            raise ValueError(f"elastic binarization has one bit, got {grid.bits}: write bits=1, or use lsq")
        super().__init__(grid, blocks, start=start)
        self.threshold = nn.Parameter(torch.zeros(self.blocks, dtype=torch.float32))

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x`` less its threshold."""
        centred = x - spread(self.threshold, x.shape).to(x.dtype)
        return Latent(centred, self.grid, self.scale_of(centred), size_only=self.grid.signed)

    @torch.no_grad()
    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """BiT's start, alpha = 2 mean|x| or 4 mean|x| ({0, 1}), unless another rule is asked for."""
        rule = rule or self.rule
        self.threshold.zero_()
        self.take(rule_named(rule)(x, self.grid, self.blocks, False))
        if rule == "mean_magnitude":
            # BiT: alpha = 2 mean|x| for {-1, 1} and 4 mean|x| for {0, 1}: both are a scale of 4 mean|x|.
            self.scale.mul_(2)


@final
class Sign(Quantizer):
    """sign(w - mean w) * mean|w|: the weights of BiT and BiBERT.

    ``ste`` is how the gradient passes the sign: "identity" lets it through everywhere, as BiT does; "clipped" between
    the two levels, as eq. 6 of VVTQ does for every grid.
    """

    serves = frozenset({"weight"})

    def __init__(self, grid: Grid, blocks: Blocks, *, centred: bool = True, ste: Ste = "identity") -> None:
        """``centred`` takes the mean of the block off first, so that both signs are equally frequent."""
        if grid.bits != 1:
            raise ValueError(f"a sign has one bit, got {grid.bits}: write bits=1, or use lsq or statsq")
        super().__init__(grid, blocks)
        self.centred, self.ste = centred, known("ste", ste, get_args(Ste))

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """2 mean|x|: the levels are plus and minus half of it."""
        with torch.no_grad():
            return (2 * self._mean(wide(x).abs())).clamp_min(SMALLEST_SCALE)

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x``, centred if asked; the size is that of the uncentred weight, as BiT has it."""
        # Detached, as in BiT: the gradient is the upstream itself, not the upstream less its mean.
        centred = x - spread(self._mean(wide(x.detach())), x.shape).to(x.dtype) if self.centred else x
        return Latent(centred, self.grid, self.scale_of(x), clips=self.ste == "clipped")

    def _mean(self, x: Tensor) -> Tensor:
        return gathered_sum(x, self.blocks) / (x.numel() / torch.Size(self.blocks).numel())
