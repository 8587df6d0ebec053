"""From a float to a code and back: the one place in the house that rounds.

``code = clamp(round((x - shift) / scale - offset), low, high)`` and ``value = (code + offset) * scale + shift``.
Rounding is half to even. The gradients are those of equation 6 of VVTQ and of LSQ:

* to ``x``: 1 where ``(x - shift) / scale`` lies between the outermost levels, these included; 0 outside;
* to ``scale``: ``code + offset - (x - shift) / scale`` inside, ``code + offset`` outside (and everywhere, if asked);
* to ``shift``: 0 inside, 1 outside.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from stillbit.quantizers.granularity import gathered_sum, spread
from stillbit.quantizers.grid import Grid


class Way(NamedTuple):
    """How gradients come back through a snap: see `Latent`."""

    clips: bool = True
    size_only: bool = False


class Latent(NamedTuple):
    """A float tensor together with the grid it will snap to; ``grid=None`` means it stays float.

    ``scale`` and ``shift`` have the shape of the blocks that share them (see `granularity.spread`).
    ``clips=False`` lets the gradient through everywhere, also outside the range (StatsQ). ``size_only=True`` is for a
    scale that decides how large a value is and not which code it has, as that of a sign: its gradient is the level.
    """

    x: Tensor
    grid: Grid | None = None
    scale: Tensor | None = None
    shift: Tensor | None = None
    clips: bool = True
    size_only: bool = False

    def value(self) -> Tensor:
        """What the forward pass computes with: a point of the grid, with the gradients above."""
        if self.grid is None or self.scale is None:
            return self.x
        value: Tensor = _Snap.apply(self.x, self.scale, self.shift, self.grid, self.way)
        return value

    @property
    def way(self) -> Way:
        """How gradients come back."""
        return Way(self.clips, self.size_only)

    @property
    def mT(self) -> Latent:
        """The last two axes exchanged."""
        turned = [None if t is None else t.mT if t.dim() > 1 else t for t in (self.scale, self.shift)]
        return self._replace(x=self.x.mT, scale=turned[0], shift=turned[1])

    def code(self) -> Int[Tensor, "*shape"]:
        """The integers, as int16; they carry no gradient."""
        if self.grid is None or self.scale is None:
            raise ValueError("a float tensor has no codes: its spec says 32 bits")
        with torch.no_grad():
            return to_code(self.x, self.scale, self.grid, self.shift).to(torch.int16)


def snap(
    x: Float[Tensor, "*shape"],
    scale: Float[Tensor, "*blocks"],
    grid: Grid,
    shift: Float[Tensor, "*blocks"] | None = None,
) -> Float[Tensor, "*shape"]:
    """Snap ``x`` to the nearest point of ``grid`` times ``scale``, moved by a learned ``shift`` if there is one."""
    return Latent(x, grid, scale, shift).value()


def to_steps(x: Tensor, scale: Tensor, shift: Tensor | None = None) -> Tensor:
    """``(x - shift) / scale``, in the wider type of the two, as a tensor of its own."""
    scale = spread(scale, x.shape)
    return x / scale if shift is None else (x - spread(shift, x.shape)).div_(scale)


def to_code(x: Tensor, scale: Tensor, grid: Grid, shift: Tensor | None = None) -> Tensor:
    """The codes of ``x`` as floats; no gradient is defined here."""
    steps = to_steps(x, scale, shift)
    if grid.offset:
        steps.sub_(grid.offset)
    return steps.round_().clamp_(grid.low, grid.high)


def to_level(x: Tensor, scale: Tensor, grid: Grid, shift: Tensor | None = None) -> Tensor:
    """``code + offset``: what is multiplied by the scale. Exact in bf16 for every grid up to 8 bits."""
    code = to_code(x, scale, grid, shift)
    return code.add_(grid.offset) if grid.offset else code


class Side:
    """A latent in a backward pass: its steps and levels, computed again, once, and the way back to its inputs."""

    def __init__(self, x: Tensor, scale: Tensor | None, shift: Tensor | None, grid: Grid | None, way: Way) -> None:
        """Recompute; a float tensor is its own level."""
        self.x, self.scale, self.shift, self.grid, self.way = x, scale, shift, grid, way
        self.steps = self.level = x
        if scale is not None and grid is not None:
            self.steps = to_steps(x, scale, shift)
            level = (self.steps - grid.offset).round_() if grid.offset else self.steps.round()
            level.clamp_(grid.low, grid.high)
            self.level = level.add_(grid.offset) if grid.offset else level

    def unshifted(self) -> Tensor:
        """The value less its shift."""
        return self.x if self.scale is None else self.level * spread(self.scale, self.x.shape)

    def pull_back(
        self, grad: Tensor | None, needs_scale: bool, needs_shift: bool
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients to ``x``, ``scale`` and ``shift`` from the gradient to the value.

        Overwrites ``grad``, the steps and the levels: a training step is bound by how often it walks over memory.
        """
        if grad is None or self.scale is None or self.grid is None:
            return None if grad is None else grad.to(self.x.dtype), None, None
        if not (self.way.clips or needs_scale or needs_shift):
            return grad.to(self.x.dtype), None, None
        grad = grad.to(self.steps.dtype)
        low, high = self.grid.edges
        inside = self.steps.clamp(low, high).eq_(self.steps)
        to_scale = to_shift = None
        if needs_scale:
            # Inside, the rounding error; outside, the outermost level.
            error = self.level if self.way.size_only else self.level.sub_(self.steps.mul_(inside))
            to_scale = gathered_sum(error.mul_(grad), tuple(self.scale.shape)).to(self.scale.dtype)
        if needs_shift:
            assert self.shift is not None, "what is not there needs no gradient"
            to_shift = gathered_sum(grad * (1 - inside), tuple(self.shift.shape)).to(self.shift.dtype)
        return (grad.mul_(inside) if self.way.clips else grad).to(self.x.dtype), to_scale, to_shift


class _Snap(Function):
    """The value of a latent; keeps nothing but its inputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor | None, grid: Grid, way: Way) -> Tensor:
        ctx.save_for_backward(x, scale, shift)
        ctx.grid, ctx.way = grid, way
        value = to_level(x, scale, grid, shift).mul_(spread(scale, x.shape))
        return (value if shift is None else value.add_(spread(shift, x.shape))).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, scale, shift = ctx.saved_tensors
        side = Side(x, scale, shift, ctx.grid, ctx.way)
        grad = grads[0].to(side.steps.dtype, copy=True)
        return (*side.pull_back(grad, ctx.needs_input_grad[1], ctx.needs_input_grad[2]), None, None)
