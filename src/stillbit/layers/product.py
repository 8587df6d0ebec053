"""The product of two quantized tensors: computed on codes, the scales applied outside.

Codes of up to 8 bits are exact in bf16 and their products are summed in fp32, so the matrix product of a training step
in bf16 is the integer product of deployment: what follows is one multiplication by the scales. For that the scale must
not vary along the summed axis; where it varies by blocks (heads on the input columns of a projection, groups), every
block is a product of its own; where it varies by element, no integer product exists and values are multiplied.

A learned shift never enters the product either: it folds into the bias, here as in deployment.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from stillbit.quantizers.granularity import spread, wide
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent, Side, Way, to_level

Pair = tuple[int, int]


def inner(a: Latent, b: Latent, bias: Float[Tensor, "*outer"] | None = None) -> Float[Tensor, "*batch n o"]:
    """``y[.., n, o] = sum_k a[.., n, k] b[.., o, k] + bias``: a linear layer, or attention's two products."""
    if a.grid is None and b.grid is None:
        return F.linear(a.x, b.x, bias) if b.x.dim() == 2 else _plus(a.x @ b.x.mT, bias)
    blocks = _summed_blocks(a, b)
    dtype = _compute_dtype(a.x)
    if blocks is None or dtype == torch.float16:  # a sum of codes leaves the range of float16
        return _plus(a.value().to(dtype) @ b.value().to(dtype).mT, bias)
    with _precise(a.x):
        bias = _fold_shifts(a, b, bias)
    if blocks == 1:
        return _product(a, b, bias, Matmul())
    pieces = zip(_split(a, blocks), _split(b, blocks), strict=True)
    first, *rest = (_product(p, q, None, Matmul()) for p, q in pieces)
    # Pieces of half precision are added in float32: only what leaves the layer is rounded.
    whole = sum(rest, wide(first))
    return (whole if bias is None else whole + bias).to(dtype)


def convolution(
    a: Latent, b: Latent, bias: Float[Tensor, " o"] | None, how: Convolution
) -> Float[Tensor, "batch o height width"]:
    """A 2-D convolution; ``a`` is the image, ``b`` the kernel. Padding adds the value zero."""
    if a.grid is None and b.grid is None:
        return how.raw(a.x, b.x, bias)
    dtype = _compute_dtype(a.x)
    cut = (a.scale is not None and a.scale.numel() > 1) or (b.scale is not None and b.scale.size(1) > 1)
    if cut or dtype == torch.float16:
        y = how.raw(a.value().to(dtype), b.value().to(dtype), None)
    else:
        y = _product(a, b, None, how)
        if a.shift is not None:
            # Where nothing is padded the shift adds the same everywhere, as if the image were one window of shifts.
            size = tuple(a.x.shape[1:]) if (any(how.padding) or any(how.around)) else (a.x.size(1), *_reach(b.x, how))
            shifts = spread(a.shift.detach(), size).expand(1, *size)
            with _precise(a.x):
                added = how.raw(shifts, b.value().to(shifts.dtype), None)
            y = y + added.to(y.dtype)
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
    around: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Zeros to the left, right, top and bottom: padding that differs between two sides."""

    def raw(self, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution of two levels."""
        return F.conv2d(self._framed(a), b, bias, self.stride, self.padding, self.dilation, self.groups)

    def grad_a(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to the image."""
        left, _, top, _ = self.around
        framed = self._backward(grad, self._framed(a), b, (True, False))[0]
        return framed[..., top : top + a.size(-2), left : left + a.size(-1)] if any(self.around) else framed

    def grad_b(self, grad: Tensor, a: Tensor, b: Tensor) -> Tensor:
        """Gradient to the kernel."""
        return self._backward(grad, self._framed(a), b, (False, True))[1]

    def _framed(self, a: Tensor) -> Tensor:
        return F.pad(a, self.around) if any(self.around) else a

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
    a_way: Way
    b_grid: Grid | None
    b_way: Way
    multiply: Matmul | Convolution
    dtype: torch.dtype


def _product(a: Latent, b: Latent, bias: Tensor | None, multiply: Matmul | Convolution) -> Tensor:
    how = _How(a.grid, a.way, b.grid, b.way, multiply, _compute_dtype(a.x))
    y: Tensor = _Product.apply(how, a.x, a.scale, a.shift, b.x, b.scale, b.shift, bias)
    return y


class _Product(Function):
    """Snap, multiply, scale: one node that keeps its float inputs and recomputes the codes in the backward pass.

    What the shifts add to the product is in the bias; their gradient is computed here, where it is one sum.
    """

    @staticmethod
    def forward(ctx: Any, how: _How, *tensors: Tensor | None) -> Tensor:
        a, a_scale, a_shift, b, b_scale, b_shift, bias = tensors
        assert a is not None and b is not None, "only scales, shifts and the bias may be missing"
        ctx.save_for_backward(a, a_scale, a_shift, b, b_scale, b_shift)
        ctx.how, ctx.bias = how, None if bias is None else (bias.shape, bias.dtype)
        left = a if a_scale is None or how.a_grid is None else to_level(a, a_scale, how.a_grid, a_shift)
        right = b if b_scale is None or how.b_grid is None else to_level(b, b_scale, how.b_grid, b_shift)
        raw = how.multiply.raw(left.to(how.dtype), right.to(how.dtype))
        outside = None if b_scale is None else how.multiply.outside(spread(b_scale, b.shape))
        return _scaled(raw, None if a_scale is None else spread(a_scale, a.shape), outside, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        how, multiply, dtype, needs = ctx.how, ctx.how.multiply, ctx.how.dtype, ctx.needs_input_grad
        x, x_scale, x_shift, w, w_scale, w_shift = ctx.saved_tensors
        a = Side(x, x_scale, x_shift, how.a_grid, how.a_way)
        b = Side(w, w_scale, w_shift, how.b_grid, how.b_way)
        grad = grads[0].to(dtype)
        # Both products first: pulling back consumes the levels.
        to_a, to_b, to_bias = None, None, None
        if any(needs[1:4]):
            to_a = multiply.grad_a(grad, a.level.to(dtype), b.unshifted().to(dtype))
        if any(needs[4:7]):
            if a.scale is None or not multiply.summed_away(a.scale):
                to_b = multiply.grad_b(grad, a.unshifted().to(dtype), b.level.to(dtype))
            else:
                to_b = multiply.grad_b(grad, a.level.to(dtype), b.level.to(dtype)).mul_(a.scale)
        if needs[7]:
            shape, kind = ctx.bias
            to_bias = grads[0].sum_to_size(shape).to(kind)
        return (None, *a.pull_back(to_a, needs[2], needs[3]), *b.pull_back(to_b, needs[5], needs[6]), to_bias)


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


def _precise(x: Tensor) -> AbstractContextManager[None]:
    """Without autocast: what the shifts add is small, and stays in float32 as it will in the bias of deployment."""
    kind = x.device.type
    return nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False)


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
    """The latent cut along its last axis."""
    xs = latent.x.split(latent.x.size(-1) // blocks, -1)
    if latent.scale is None:
        return [Latent(x) for x in xs]
    scales = latent.scale.split(1, -1) if latent.scale.size(-1) > 1 else [latent.scale] * blocks
    shift = latent.shift
    # A shift may vary within a block: OFQ has one for each channel.
    whole = shift is None or shift.size(-1) == 1
    shifts = [shift] * blocks if shift is None or whole else list(shift.split(shift.size(-1) // blocks, -1))
    return [latent._replace(x=x, scale=s, shift=t) for x, s, t in zip(xs, scales, shifts, strict=True)]


def _fold_shifts(a: Latent, b: Latent, bias: Tensor | None) -> Tensor | None:
    """``bias`` plus what the shifts add: shift_a . b^T + (a - shift_a) . shift_b^T.

    The shifts are constants here: the product gives them their gradient, of this term too.
    """
    if a.shift is not None:
        shift = a.shift.detach()
        bias = _plus(_added(shift, _as_wide(b.value(), shift), a.x.size(-2)), bias)
    if b.shift is not None:
        shift = spread(b.shift.detach(), b.x.shape)
        value = _as_wide(a.value(), shift)
        if a.shift is not None:
            value = value - spread(a.shift.detach(), a.x.shape)
        column = shift.mT if shift.dim() > 1 else shift.unsqueeze(-1)
        bias = _plus(value.sum(-1, keepdim=True) * column if shift.size(-1) == 1 else value @ column, bias)
    return bias


def _added(shift: Tensor, value: Tensor, rows: int) -> Tensor:
    """``shift . value^T`` for as many rows; rows that share a shift (heads, one below the other) share the sum."""
    width, blocks = value.size(-1), shift.size(-1)
    if blocks not in (1, width):
        shift = shift.repeat_interleave(width // blocks, -1)
    if shift.dim() == 1 and value.dim() == 2 and blocks > 1:  # a bias, as deployment will have it
        return value.mv(shift)
    row = shift if shift.dim() > 1 else shift.unsqueeze(0)
    added = row * value.sum(-1).unsqueeze(-2) if blocks == 1 else row @ value.mT
    return added if added.size(-2) in (1, rows) else added.repeat_interleave(rows // added.size(-2), -2)


def _as_wide(value: Tensor, shift: Tensor) -> Tensor:
    """``value`` in a type that can meet the shift: in a model of half precision shifts stay in float32."""
    return value.to(torch.promote_types(value.dtype, shift.dtype))


def _plus(y: Tensor, bias: Tensor | None) -> Tensor:
    return y if bias is None else y + bias.to(y.dtype)
