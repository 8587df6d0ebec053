"""How far a weight is from where its code changes."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stillbit.quantizers.snap import Latent, to_steps


@torch.no_grad()
def positions(latent: Latent) -> Float[Tensor, "*shape"]:
    """The latent in units of codes: code k reaches from k - 1/2 to k + 1/2, on a mid-rise grid too."""
    grid, scale = latent.grid, latent.scale
    assert grid is not None and scale is not None, "a float tensor has no boundaries"
    steps = to_steps(latent.x, scale, latent.shift)
    return steps.sub_(grid.offset) if grid.offset else steps


@torch.no_grad()
def distances(latent: Latent) -> Float[Tensor, "*shape"]:
    """Steps to the nearest of the 2^bits - 1 boundaries: at most 1/2, but beyond the outermost codes."""
    grid = latent.grid
    assert grid is not None, "a float tensor has no boundaries"
    here = positions(latent)
    nearest = here.floor().clamp_(grid.low, grid.high - 1).add_(0.5)
    return here.sub_(nearest).abs_()


def histogram(latent: Latent, bins: int = 20) -> Int[Tensor, " bins"]:
    """How many weights are how far from a boundary, from 0 to half a step; the last bin has all that is farther."""
    counted = torch.histc(distances(latent).clamp_(max=0.5).double(), bins, 0.0, 0.5)
    return counted.long()
