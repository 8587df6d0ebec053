"""The product of two quantized tensors: computed on codes, the scales applied outside.

Codes of up to 8 bits are exact in bf16 and their products are summed in fp32, so the matrix product of a training step
in bf16 is the integer product of deployment: what follows is one multiplication by the scales. For that the scale must
not vary along the summed axis; where it varies by blocks (heads on the input columns of a projection, groups), every
block is a product of its own; where it varies by element, no integer product exists and values are multiplied.

A learned shift never enters the product either: it folds into the bias, here as in deployment.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function

from stillbit.quantizers.granularity import spread
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent, pull_back, steps_and_level, to_level

Pair = tuple[int, int]


def inner(a: Latent, b: Latent, bias: Float[Tensor, "*outer"] | None = None) -> Float[Tensor, "*batch n o"]:
    """``y[.., n, o] = sum_k a[.., n, k] b[.., o, k] + bias``: a linear layer, or attention's two products."""
    if a.grid is None and b.grid is None:
        return F.linear(a.x, b.x, bias) if b.x.dim() == 2 else _plus(a.x @ b.x.mT, bias)
    blocks = _summed_blocks(a, b)
    if blocks is None:
        dtype = _compute_dtype(a.x)
        return _plus(a.value().to(dtype) @ b.value().to(dtype).mT, bias)
    bias = _fold_shifts(a, b, bias)
    if blocks == 1:
        return _product(a, b, bias, Matmul())
    pieces = zip(_split(a, blocks), _split(b, blocks), strict=True)
    first, *rest = (_product(p, q, None, Matmul()) for p, q in pieces)
    return _plus(sum(rest, first), bias)


def convolution(
    a: Latent, b: Latent, bias: Float[Tensor, " o"] | None, how: Convolution
) -> Float[Tensor, "batch o height width"]:
    """A 2-D convolution; ``a`` is the image, ``b`` the kernel. Padding adds the value zero."""
    if a.grid is None and b.grid is None:
        return how.raw(a.x, b.x, bias)
    if (a.scale is not None and a.scale.numel() > 1) or (b.scale is not None and b.scale.size(1) > 1):
        dtype = _compute_dtype(a.x)
        y = how.raw(a.value().to(dtype), b.value().to(dtype), None)
    else:
        y = _product(a, b, None, how)
        if a.shift is not None:
            # Where nothing is padded the shift adds the same everywhere, as if the image were one window of shifts.
            size = tuple(a.x.shape[1:]) if any(how.padding) else (a.x.size(1), *_reach(b.x, how))
            shifts = spread(a.shift, size).expand(1, *size)
            y = y + how.raw(shifts, b.value().to(shifts.dtype), None).to(y.dtype)
    return y if bias is None else y + bias.view(-1, 1, 1).to(y.dtype)


@dataclass(frozen=True)
class Matmul:
    """``y = a b^T`` over the last axes."""

    def raw(self, a: Tensor, b: Tensor) -> Tensor:
        """The product of two levels."""
        return a @ b.mT

    def grad_a(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to ``a``, from the value of ``b``."""
        return grad @ b

    def grad_b(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to ``b``, from ``a``."""
        if b.dim() == 2:
            return grad.flatten(0, -2).mT @ a.flatten(0, -2)
        return grad.mT @ a

    def outside(self, b_scale: Tensor) -> Tensor:
        """``b``'s scale as it multiplies the product."""
        return b_scale.mT if b_scale.dim() > 1 else b_scale

    def summed_away(self, scale: Tensor) -> bool:
        """Whether ``a``'s scale is the same for everything that `grad_b` sums over."""
        return scale.dim() < 2 or scale.size(-2) == 1


@dataclass(frozen=True)
class Convolution:
    """``y = conv2d(a, b)``."""

    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    def raw(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution of two levels."""
        return F.conv2d(a, b, bias, self.stride, self.padding, self.dilation, self.groups)

    def grad_a(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to the image."""
        return self._backward(grad, a, b, (True, False))[0]

    def grad_b(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to the kernel."""
        return self._backward(grad, a, b, (False, True))[1]

    def outside(self, b_scale: Tensor) -> Tensor:
        """The kernel's scale as it multiplies the feature map."""
        return b_scale.reshape(-1, 1, 1)

    def summed_away(self, scale: Tensor) -> bool:
        """An image has one scale."""
        return True

    def _backward(self, grad: Tensor, a: Tensor, b: Tensor, wanted: tuple[bool, bool]) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            grad, a, b, None, self.stride, self.padding, self.dilation, False, (0, 0), self.groups, (*wanted, False)
        )
        return found


@dataclass(frozen=True)
class _How:
    """All that is not a tensor: the grids of both sides, the multiplication, and the type it runs in."""

    a_grid: Grid | None
    a_clips: bool
    b_grid: Grid | None
    b_clips: bool
    multiply: Matmul | Convolution
    dtype: torch.dtype


def _product(a: Latent, b: Latent, bias: Tensor | None, multiply: Matmul | Convolution) -> Tensor:
    how = _How(a.grid, a.clips, b.grid, b.clips, multiply, _compute_dtype(a.x))
    y: Tensor = _Product.apply(a.x, a.scale, b.x, b.scale, bias, how)
    return y


class _Product(Function):
    """Snap, multiply, scale: one node that keeps its float inputs and recomputes the codes in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, a_scale: Tensor | None, b: Tensor, b_scale: Tensor | None, bias: Tensor | None, how: _How
    ) -> Tensor:
        ctx.save_for_backward(a, a_scale, b, b_scale)
        ctx.how, ctx.bias = how, None if bias is None else (bias.shape, bias.dtype)
        left = a if a_scale is None or how.a_grid is None else to_level(a, a_scale, how.a_grid)
        right = b if b_scale is None or how.b_grid is None else to_level(b, b_scale, how.b_grid)
        raw = how.multiply.raw(left.to(how.dtype), right.to(how.dtype))
        outside = None if b_scale is None else how.multiply.outside(spread(b_scale, b.shape))
        return _scaled(raw, None if a_scale is None else spread(a_scale, a.shape), outside, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        a, a_scale, b, b_scale = ctx.saved_tensors
        needs, how, multiply, dtype = ctx.needs_input_grad, ctx.how, ctx.how.multiply, ctx.how.dtype
        grad = grads[0].to(dtype)
        left, right = _Side(a, a_scale, how.a_grid, how.a_clips), _Side(b, b_scale, how.b_grid, how.b_clips)
        out: list[Any] = [None] * 6
        # Both products first: closing a side consumes its levels.
        to_a, to_b = None, None
        if needs[0] or needs[1]:
            to_a = multiply.grad_a(grad, left.level.to(dtype), right.value().to(dtype))
        if needs[2] or needs[3]:
            if a_scale is None or not multiply.summed_away(a_scale):
                to_b = multiply.grad_b(grad, left.value().to(dtype), right.level.to(dtype))
            else:
                to_b = multiply.grad_b(grad, left.level.to(dtype), right.level.to(dtype)).mul_(a_scale)
        out[0], out[1] = left.close(to_a, needs[1])
        out[2], out[3] = right.close(to_b, needs[3])
        if ctx.bias is not None and needs[4]:
            shape, kind = ctx.bias
            out[4] = grads[0].sum_to_size(shape).to(kind)
        return tuple(out)


class _Side:
    """One operand in the backward pass: its steps and levels, recomputed once, and its way back to the latent."""

    def __init__(self, x: Tensor, scale: Tensor | None, grid: Any, clips: bool) -> None:
        self.x, self.scale, self.grid, self.clips = x, scale, grid, clips
        self.steps, self.level = (x, x) if scale is None else steps_and_level(x, scale, grid)

    def value(self) -> Tensor:
        return self.x if self.scale is None else self.level * spread(self.scale, self.x.shape)

    def close(self, grad: Tensor | None, needs_scale: bool) -> tuple[Tensor | None, Tensor | None]:
        """Gradients to the latent and its scale; consumes the steps and levels."""
        if grad is None or self.scale is None:
            return None if grad is None else grad.to(self.x.dtype), None
        wanted = self.scale if needs_scale else None
        to_x, to_scale = pull_back(grad.to(self.steps.dtype), self.steps, self.level, self.grid, self.clips, wanted)
        return to_x.to(self.x.dtype), to_scale


def _scaled(raw: Tensor, a_scale: Tensor | None, b_scale: Tensor | None, bias: Tensor | None) -> Tensor:
    """``raw * a_scale * b_scale + bias``; overwrites ``raw``."""
    if a_scale is None or b_scale is None:
        scale = b_scale if a_scale is None else a_scale
    elif a_scale.dim() > 1 and a_scale.size(-2) > 1 and b_scale.size(-1) > 1:
        raw.mul_(a_scale)  # both scales together would be as large as the product
        scale = b_scale
    else:
        scale = a_scale * b_scale
    assert scale is not None, "a product has at least one quantized side"
    if bias is None:
        return raw.mul_(scale)
    return torch.addcmul(bias.to(scale.dtype), raw.to(scale.dtype), scale).to(raw.dtype)


def _compute_dtype(x: Tensor) -> torch.dtype:
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind) and x.dtype != torch.float64:
        return torch.get_autocast_dtype(kind)
    return x.dtype


def _reach(kernel: Tensor, how: Convolution) -> Pair:
    """Height and width that a kernel covers."""
    return how.dilation[0] * (kernel.size(2) - 1) + 1, how.dilation[1] * (kernel.size(3) - 1) + 1


def _summed_blocks(a: Latent, b: Latent) -> int | None:
    """Into how many blocks the summed axis is cut by the scales; None where no integer product exists."""
    cuts = {s.size(-1) for s in (a.scale, b.scale) if s is not None and s.size(-1) > 1}
    if not cuts:
        return 1
    return cuts.pop() if len(cuts) == 1 and a.x.size(-1) not in cuts else None


def _split(latent: Latent, blocks: int) -> list[Latent]:
    """The latent cut along its last axis, shifts left behind (they are in the bias)."""
    xs = latent.x.split(latent.x.size(-1) // blocks, -1)
    if latent.scale is None:
        return [Latent(x) for x in xs]
    scales = latent.scale.split(1, -1) if latent.scale.size(-1) > 1 else [latent.scale] * blocks
    return [Latent(x, latent.grid, s, None, latent.clips) for x, s in zip(xs, scales, strict=True)]


def _fold_shifts(a: Latent, b: Latent, bias: Tensor | None) -> Tensor | None:
    """``bias`` plus what the shifts add: shift_a . b^T + (a - shift_a) . shift_b^T."""
    if a.shift is not None:
        value = b.value()
        whole = a.shift.size(-1) == 1
        term = a.shift * value.sum(-1).unsqueeze(-2) if whole else spread(a.shift, a.x.shape) @ value.mT
        bias = _plus(term, bias)
    if b.shift is not None:
        value = a._replace(shift=None).value()
        if b.shift.size(-1) == 1:
            term = value.sum(-1, keepdim=True) * (b.shift.mT if b.shift.dim() > 1 else b.shift)
        else:
            term = value @ spread(b.shift, b.x.shape).mT
        bias = _plus(term, bias)
    return bias


def _plus(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.to(y.dtype)
