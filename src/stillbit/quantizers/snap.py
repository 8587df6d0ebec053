"""From a float to a code and back: the one place in the house that rounds.

``code = clamp(round(x / scale - offset), low, high)`` and ``value = (code + offset) * scale + shift``.
Rounding is half to even. The gradients are those of equation 6 of VVTQ and of LSQ:

* to ``x``: 1 where ``low <= x / scale <= high`` (edges included; ``high + 1`` on a mid-rise grid), 0 outside;
* to ``scale``: ``code + offset - x / scale`` inside, ``code + offset`` outside;
* to ``shift`` (LSQ+, where ``x`` is already less the shift): 0 inside, 1 outside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function

from stillbit.quantizers.granularity import gathered_sum, spread
from stillbit.quantizers.grid import Grid


class Latent(NamedTuple):
    """A float tensor together with the grid it will snap to; ``grid=None`` means it stays float.

    ``scale`` and ``shift`` have the shape of the blocks that share them (see `granularity.spread`).
    ``clips=False`` lets the gradient through everywhere, also outside the range (StatsQ).
    """

    x: Tensor
    grid: Grid | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    clips: bool = True

    def value(self) -> Tensor:
        """What the forward pass computes with: a point of the grid, with the gradients above."""
        if self.grid is None or self.scale is None:
            return self.x
        value: Tensor = _Snap.apply(self.x, self.scale, self.grid, self.clips)
        return value if self.shift is None else (value + spread(self.shift, self.x.shape)).to(value.dtype)

    @property
    def mT(self) -> Latent:
        """The last two axes exchanged."""
        turned = [None if t is None else t.mT if t.dim() > 1 else t for t in (self.scale, self.shift)]
        return Latent(self.x.mT, self.grid, turned[0], turned[1], self.clips)

    def code(self) -> Int[Tensor, "*shape"]:
        """The integers, as int16; they carry no gradient."""
        if self.grid is None or self.scale is None:
            raise ValueError("a float tensor has no codes: its spec says 32 bits")
        with torch.no_grad():
            return to_code(self.x, self.scale, self.grid).to(torch.int16)


def snap(
    x: Float[Tensor, "*shape"],
    scale: Float[Tensor, "*blocks"],
    grid: Grid,
    shift: Float[Tensor, "*blocks"] | None = None,
) -> Float[Tensor, "*shape"]:
    """Snap ``x`` to the nearest point of ``grid`` times ``scale``, moved by a learned ``shift`` if there is one."""
    centred = x if shift is None else x - spread(shift, x.shape).to(x.dtype)
    return Latent(centred, grid, scale, shift).value()


def to_code(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """The codes of ``x`` as floats, in the wider type of the two; no gradient is defined here."""
    steps = x / spread(scale, x.shape)
    if grid.offset:
        steps.sub_(grid.offset)
    return steps.round_().clamp_(grid.low, grid.high)


def to_level(x: Tensor, scale: Tensor, grid: Grid) -> Tensor:
    """``code + offset``: what is multiplied by the scale. Exact in bf16 for every grid up to 8 bits."""
    code = to_code(x, scale, grid)
    return code.add_(grid.offset) if grid.offset else code


def steps_and_level(x: Tensor, scale: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
    """``x / scale`` and the level it snaps to, both fresh: what a backward pass starts from."""
    steps = x / spread(scale, x.shape)
    level = (steps - grid.offset).round_() if grid.offset else steps.round()
    level.clamp_(grid.low, grid.high)
    return steps, level.add_(grid.offset) if grid.offset else level


def pull_back(
    grad: Tensor, steps: Tensor, level: Tensor, grid: Grid, clips: bool, scale: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Gradients to ``x`` and ``scale`` (None if it wants none) from the gradient to the value.

    Overwrites all three tensors: a training step is bound by how often it walks over memory.
    """
    if not clips and scale is None:
        return grad, None
    low, high = grid.edges
    inside = steps.clamp(low, high).eq_(steps)
    grad_scale = None
    if scale is not None:
        # Inside, the rounding error; outside, the outermost level.
        error = level.sub_(steps.mul_(inside)).mul_(grad)
        grad_scale = gathered_sum(error, tuple(scale.shape)).to(scale.dtype)
    return (grad.mul_(inside) if clips else grad), grad_scale


class _Snap(Function):
    """`to_level` times scale, with the gradients of `pull_back`; keeps nothing but its inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, grid: Grid, clips: bool) -> Tensor:
        ctx.save_for_backward(x, scale)
        ctx.grid, ctx.clips = grid, clips
        return to_level(x, scale, grid).mul_(spread(scale, x.shape)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale = ctx.saved_tensors
        steps, level = steps_and_level(x, scale, ctx.grid)
        wanted = scale if ctx.needs_input_grad[1] else None
        grad_x, grad_scale = pull_back(grads[0].to(steps.dtype, copy=True), steps, level, ctx.grid, ctx.clips, wanted)
        return grad_x.to(x.dtype), grad_scale, None, None
