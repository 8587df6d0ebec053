"""How much of the gradient reaches a scale. A learned scale sums over many elements; these factors tame it."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from stillbit.quantizers.granularity import Blocks, gathered_sum, share, wide
from stillbit.quantizers.grid import Grid

GradScale = Callable[[Tensor, Grid, Blocks], Tensor | float]


def by_count(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks) -> float:
    """LSQ: 1 / sqrt(N Qp), N elements of one *sample* sharing the scale, so the batch size does not matter."""
    return 1.0 / sqrt(share(x, blocks) * max(grid.high, 1))


def by_magnitude(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks) -> Float[Tensor, "*blocks"]:
    """VVTQ: 1 / sqrt(Qp |x|_1), the norm taken over what shares the scale (of one sample, on average).

    The L1 norm stands inside the root, as in the authors' code; the first typesetting of the paper is ambiguous.
    """
    samples = x.shape[0] if x.dim() > len(blocks) else 1
    with torch.no_grad():
        norm = gathered_sum(wide(x).abs(), blocks) / samples
        return (norm.clamp_min(torch.finfo(torch.float32).tiny) * max(grid.high, 1)).rsqrt()


GRADSCALES: dict[str, GradScale] = {"by_count": by_count, "by_magnitude": by_magnitude}


def tame(scale: Tensor, factor: Tensor | float) -> Tensor:
    """``scale`` itself in the forward pass; its gradient times ``factor`` in the backward pass."""
    tamed: Tensor = _Tame.apply(scale, factor)
    return tamed


class _Tame(Function):
    @staticmethod
    def forward(ctx: Any, scale: Tensor, factor: Tensor | float) -> Tensor:
        ctx.factor = factor
        return scale.view_as(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0] * ctx.factor, None
