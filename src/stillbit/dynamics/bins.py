"""OBR, the oscillation-aware bin regularizer of VVTQ (arXiv 2307.00331, equation 9).

    L = sum over modules of ( |w - w_q|^2 + sum over bins n of Var(w in bin n) )

A module is what shares a scale, a bin is a code, and w is the latent after clipping. The variance is the unbiased one,
of bins of more than two. The scale stands still here: only latents feel the pull. The released code finds bins by
comparing floats, and loses whole bins; here a bin is an integer.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from stillbit.dynamics.low_bit import low_bit
from stillbit.dynamics.rounding import USUAL_SIZE, rounding, with_gradient
from stillbit.quantizers.granularity import spread
from stillbit.quantizers.snap import Latent

Form = Literal["per_weight", "mean", "sum"]

FEWEST = 3
"""Members that a bin needs to have a variance: "more than two". The released code takes bins of two as well."""


@final
class BinPenalty:
    """The sum of `bin_loss` over the weights of these widths; the paper's appendix has it for two and three bits."""

    name: ClassVar[str] = "bins"

    def __init__(self, model: nn.Module, *, bits: tuple[int, ...] = (2, 3), form: Form = "per_weight") -> None:
        """``model`` comes bare, not in its wrapper."""
        self.weights = low_bit(model, "the bin penalty", bits)
        self.form = form

    def __call__(self) -> Float[Tensor, ""]:
        """The penalty now."""
        return torch.stack([bin_loss(weight.latent(), self.form) for weight in self.weights]).sum()


def bin_loss(latent: Latent, form: Form = "per_weight", fewest: int = FEWEST) -> Float[Tensor, ""]:
    """Rounding error and variances of one weight, with its gradient to the latent.

    "mean" and "sum" are the released code's: the mean or the sum of the squared errors, plus the variances. In the
    first, the pull on a weight falls with the size of its layer. "per_weight" is "mean" with every weight counted the
    same: bins by their members, blocks by their size, so that the pull is that of "mean" in a block of `USUAL_SIZE`
    with equally full bins, in a block of any size.
    """
    with torch.no_grad():
        at = rounding(latent)
        bins, size = _bins(latent, at.level)
        counts, sums, squares = _statistics(at.error, bins, size)
        error_price, bin_price = _prices(form, counts, latent)
        free = (counts - 1).clamp_min(1)
        pull = bin_price.where(counts >= fewest, 0.0) / free
        scatter = (squares - sums.square() / counts.clamp_min(1)).clamp_min(0)
        value = error_price * squares.sum() + (pull * scatter).sum()
        # d Var / d e_i = 2 (e_i - mean) / (n - 1), and the squared error adds 2 e_i.
        centre = pull * sums / counts.clamp_min(1)
        gradient = (pull + error_price).take(bins).mul_(at.error).sub_(centre.take(bins)).mul_(at.inside).mul_(2)
    return with_gradient(latent.x, value.to(latent.x.dtype), gradient)


def _bins(latent: Latent, level: Tensor) -> tuple[Int[Tensor, "*shape"], int]:
    """The number of every weight's bin: its block times the levels, plus its code above the lowest; and how many."""
    grid, scale = latent.grid, latent.scale
    assert grid is not None and scale is not None, "a float tensor has no bins"
    first = torch.arange(scale.numel(), device=level.device).view(scale.shape) * grid.levels
    return spread(first, level.shape) + (level - grid.edges[0]).long(), scale.numel() * grid.levels


def _statistics(error: Tensor, bins: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Members, sum and sum of squares of every bin, in one walk each, whatever the bit-width.

    The variance of the errors of a bin is that of its latents, whose value is one number.
    """
    where, what = bins.flatten(), error.flatten()
    counts = torch.bincount(where, minlength=size).to(error.dtype)
    sums, squares = (error.new_zeros(size).scatter_add_(0, where, part) for part in (what, what.square()))
    return counts, sums, squares


def _prices(form: Form, counts: Tensor, latent: Latent) -> tuple[float, Tensor]:
    """What a squared error costs, and what the variance of each bin costs."""
    assert latent.grid is not None and latent.scale is not None, "a float tensor has no bins"
    if form == "per_weight":
        return 1 / USUAL_SIZE, counts * (latent.grid.levels / USUAL_SIZE)
    return latent.scale.numel() / latent.x.numel() if form == "mean" else 1.0, torch.ones_like(counts)
