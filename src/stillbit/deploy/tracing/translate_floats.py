"""Torch's operations on floats, in the words of a program."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch

from stillbit.deploy.program import Dims
from stillbit.deploy.tracing.translation import Emit, Translation, changed, entering, pair, rest

aten = torch.ops.aten
TABLE: dict[Any, Translation] = {}
_of = entering(TABLE)

_TWO = {
    "add": (aten.add.Tensor, aten.add.Scalar),
    "sub": (aten.sub.Tensor, aten.sub.Scalar),
    "mul": (aten.mul.Tensor, aten.mul.Scalar),
    "div": (aten.div.Tensor, aten.div.Scalar),
}
_ONE = {
    "neg": aten.neg.default,
    "abs": aten.abs.default,
    "exp": aten.exp.default,
    "sqrt": aten.sqrt.default,
    "rsqrt": aten.rsqrt.default,
    "relu": aten.relu.default,
    "silu": aten.silu.default,
    "sigmoid": aten.sigmoid.default,
    "tanh": aten.tanh.default,
    "hardswish": aten.hardswish.default,
    "hardsigmoid": aten.hardsigmoid.default,
}


def _two(op: str) -> Translation:
    def translation(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
        if kwargs.get("alpha", 1) != 1 or len(args) > 2:
            raise ValueError(f"{op} with a factor cannot be deployed yet: multiply first")
        left, right = args
        if isinstance(right, int | float):
            return emit(op, left, by=float(right))
        return emit(op, left, right)

    return translation


def _one(op: str) -> Translation:
    return lambda emit, args, kwargs, dims: emit(op, args[0])


for _op, _targets in _TWO.items():
    _of(*_targets)(_two(_op))
for _op, _target in _ONE.items():
    _of(_target)(_one(_op))


@_of(aten.square.default)
def _square(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("mul", args[0], args[0])


@_of(aten.pow.Tensor_Scalar)
def _power(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if args[1] not in (0.5, 2, 3):
        raise ValueError(f"the power of {args[1]} cannot be deployed yet: squares, cubes and square roots can")
    if args[1] == 0.5:
        return emit("sqrt", args[0])
    square = emit("mul", args[0], args[0])
    return square if args[1] == 2 else emit("mul", square, args[0])


@_of(aten.addcmul.default)
def _addcmul(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("add", emit("mul", args[1], args[2]), args[0])


@_of(aten.clamp.default, aten.clamp_min.default, aten.hardtanh.default)
def _clamp(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    low, high = [*args[1:], kwargs.get("min"), kwargs.get("max")][:2] if len(args) < 2 else [*args[1:], None][:2]
    return emit("clamp", args[0], low=low, high=high)


@_of(aten.relu6.default)
def _relu6(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("clamp", args[0], low=0.0, high=6.0)


@_of(aten.clamp.Tensor)
def _clamp_between(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("clamp", *args[:3])


def _compared(how: str) -> Translation:
    def translation(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
        left, right = args
        return (
            emit("compare", left, how=how, by=float(right))
            if isinstance(right, int | float)
            else emit("compare", left, right, how=how)
        )

    return translation


for _how in ("ge", "gt", "le", "lt", "eq", "ne"):
    _of(getattr(aten, _how).Tensor, getattr(aten, _how).Scalar)(_compared(_how))


@_of(aten.bitwise_not.default, aten.logical_not.default)
def _not(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if args[0].dtype is not torch.bool:
        raise ValueError("the opposite of what is not yes or no cannot be deployed: compare it with zero first")
    return replace(args[0], opposite=not args[0].opposite)


@_of(aten.__and__.Tensor, aten.bitwise_and.Tensor, aten.logical_and.default)
def _and(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if any(x.dtype is not torch.bool for x in args[:2]):
        raise ValueError("bits of whole numbers cannot be deployed: compare them with zero first")
    for one, other in (args[:2], args[1::-1]):
        if one.known is not None and bool(one.known.all()):
            return emit("expand", other, shape=list(dims))
    return emit("compare", emit("mul", *args[:2]), how="ne", by=0.0)


@_of(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def _masked_fill(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    x, where, filling = args
    return emit("where", where, torch.tensor(float(filling)) if isinstance(filling, int | float) else filling, x)


@_of(aten.cumsum.default)
def _cumsum(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("cumsum", args[0], axis=args[1] % len(dims))


@_of(aten.where.self, aten.where.ScalarSelf, aten.where.ScalarOther)
def _where(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    parts = (torch.tensor(float(x)) if isinstance(x, int | float) else x for x in args)
    return emit("where", *parts)


@_of(aten.gelu.default)
def _gelu(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("gelu", args[0], tanh=kwargs.get("approximate", "none") == "tanh")


@_of(aten.softmax.int, aten._softmax.default)
def _softmax(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("softmax", args[0], axis=args[1] % len(dims))


@_of(aten.layer_norm.default)
def _layer_norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    shape, weight, bias, eps = rest(args[:5], None, None, None, 1e-5)
    return emit("layer_norm", *(t for t in (args[0], weight, bias) if t is not None), axes=len(shape), eps=eps)


@_of(aten.group_norm.default)
def _group_norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    groups, weight, bias, eps = rest(args[:5], None, None, None, 1e-5)
    size = math.prod(dims[1:])
    x = emit("layer_norm", emit("reshape", args[0], shape=[dims[0], groups, size // groups]), axes=1, eps=eps)
    x = emit("reshape", x, shape=list(dims))
    for op, held in (("mul", weight), ("add", bias)):
        if held is not None:
            x = emit(op, x, changed(held, lambda t: t.view(-1, *(1,) * (len(dims) - 2))))
    return x


@_of(aten.batch_norm.default)
def _batch_norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    x, weight, bias, mean, variance, training, _, eps = args[:8]
    if training or mean is None or mean.known is None:
        raise ValueError("batch norm by the statistics of the batch cannot be deployed: it needs running ones")
    factor = (variance.known.double() + eps).rsqrt()
    factor = factor if weight is None else factor * weight.known.double()
    added = -mean.known.double() * factor
    added = added if bias is None else added + bias.known.double()
    whole = (-1, *(1,) * (len(dims) - 2))
    return emit("add", emit("mul", x, factor.float().view(whole)), added.float().view(whole))


@_of(aten.linalg_vector_norm.default)
def _norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    order, axes, keep = rest(args[:4], 2, None, False)
    if order != 2 or axes is None:
        raise ValueError("only norms of order 2 along axes can be deployed yet")
    return _reduction("norm")(emit, (args[0], axes, keep), {}, dims)


def _reduction(op: str) -> Translation:
    def translation(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
        axes, keep = args[1], (args[2] if len(args) > 2 else kwargs.get("keepdim", False))
        rank = len(dims) + (0 if keep else len(axes))
        return emit(op, args[0], axes=[axis % rank for axis in axes], keep=keep)

    return translation


_of(aten.mean.dim)(_reduction("mean"))
_of(aten.sum.dim_IntList)(_reduction("sum"))
_of(aten.amax.default)(_reduction("max"))


@_of(aten.max_pool2d.default)
def _max_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    window, stride, padding, dilation, ceil = rest(args, None, [], 0, 1, False)
    if pair(dilation) != [1, 1]:
        raise ValueError("max pooling with a dilation cannot be deployed yet")
    return emit("max_pool", args[0], **_windows(window, stride, padding, ceil))


@_of(aten.avg_pool2d.default)
def _avg_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    window, stride, padding, ceil, counts = rest(args[:6], None, [], 0, False, True)
    return emit("avg_pool", args[0], **_windows(window, stride, padding, ceil), counts_padding=counts)


def _windows(window: Any, stride: Any, padding: Any, ceil: bool) -> dict[str, Any]:
    return {"window": pair(window), "stride": pair(stride or window), "padding": pair(padding), "ceil": ceil}


@_of(aten.adaptive_avg_pool2d.default)
def _adaptive_avg_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if tuple(dims[-2:]) != (1, 1):
        raise ValueError("adaptive average pooling to more than one pixel cannot be deployed yet: give it a window")
    return emit("mean", args[0], axes=[len(dims) - 2, len(dims) - 1], keep=True)
