"""The rounding error of a latent, and a scalar whose gradient was found along with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd import Function

from stillbit.quantizers.granularity import spread
from stillbit.quantizers.snap import Latent, to_level, to_steps

USUAL_SIZE = 192 * 192
"""Weights of a projection of DeiT-T. Penalties that do not depend on the size of a layer have their published strength
in a layer of this one."""


class Rounding(NamedTuple):
    """What separates a clipped latent from its value; nothing here has a gradient."""

    level: Float[Tensor, "*shape"]
    """Code plus offset."""
    error: Float[Tensor, "*shape"]
    """Clipped latent less value, in the unit of the latent."""
    inside: Bool[Tensor, "*shape"]
    """Where the latent was not clipped, and a gradient passes."""


@torch.no_grad()
def rounding(latent: Latent) -> Rounding:
    """``clip(x / scale) * scale - value``, with a scale that stands still."""
    x, grid, scale, shift = latent.x.detach(), latent.grid, latent.scale, latent.shift
    assert grid is not None and scale is not None, "a float tensor has no rounding error"
    steps = to_steps(x, scale.detach(), shift)
    clipped = steps.clamp(*grid.edges)
    inside = clipped == steps
    level = to_level(x, scale.detach(), grid, shift)
    return Rounding(level, clipped.sub_(level).mul_(spread(scale.detach(), x.shape)), inside)


def with_gradient(x: Tensor, value: Float[Tensor, ""], gradient: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """``value`` as a function of ``x`` whose gradient is known: no graph, and one walk over memory in the backward."""
    given: Tensor = _Given.apply(x, value, gradient)
    return given


class _Given(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient.to(x.dtype))
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None
