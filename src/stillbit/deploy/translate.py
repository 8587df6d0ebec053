"""What torch calls an operation, and what a program calls it.

A translation gets a way to write a step, the arguments, and the shape of the result; it gives back the value that the
last step puts out, or several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch

from stillbit.deploy.program import Dims

aten = torch.ops.aten


class Emit(Protocol):
    """Writes a step and gives back what it puts out."""

    def __call__(self, op: str, *inputs: Any, **settings: Any) -> Any:
        """``inputs`` are values of the graph, ``settings`` plain data."""


Translation = Callable[[Emit, Any, Any, Dims], Any]
TRANSLATIONS: dict[Any, Translation] = {}
"""From torch's operation to the one or more that a program has for it."""
MOVING: set[Any] = set()
"""Those that only move elements, so that codes stay codes."""

IDENTITY = {
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.alias.default,
    aten.dropout.default,
    aten.feature_dropout.default,
    aten.to.dtype,
    aten.type_as.default,
    aten._to_copy.default,
    aten.lift_fresh_copy.default,
}
"""In eval mode and in float32 they give back what they got."""


def moves(target: Any) -> bool:
    """Whether torch's operation only moves elements."""
    return target in IDENTITY or target in MOVING


def _of(*targets: Any, moves: bool = False) -> Callable[[Translation], Translation]:
    def register(translation: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(targets, translation))
        MOVING.update(targets if moves else ())
        return translation

    return register


# ------------------------------------------------------------------------------------------------------ moving elements


@_of(
    aten.view.default,
    aten.reshape.default,
    aten._unsafe_view.default,
    aten.flatten.using_ints,
    aten.unflatten.int,
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.view_as.default,
    moves=True,
)
def _reshape(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("reshape", args[0], shape=list(dims))


@_of(aten.expand.default, aten.expand_as.default, moves=True)
def _expand(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("expand", args[0], shape=list(dims))


@_of(aten.permute.default, moves=True)
def _permute(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("permute", args[0], axes=[axis % len(dims) for axis in args[1]])


@_of(aten.transpose.int, moves=True)
def _transpose(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axes = list(range(len(dims)))
    first, second = args[1] % len(dims), args[2] % len(dims)
    axes[first], axes[second] = second, first
    return emit("permute", args[0], axes=axes)


@_of(aten.mT.default, aten.t.default, moves=True)
def _turn(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return _transpose(emit, (args[0], -2, -1), {}, dims)


@_of(aten.select.int, moves=True)
def _select(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("select", args[0], axis=args[1] % (len(dims) + 1), index=args[2])


@_of(aten.slice.Tensor, moves=True)
def _slice(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis, start, stop, step = _rest(args, 0, None, None, 1)
    end = None if stop is None or stop >= 2**62 else stop
    return emit("slice", args[0], axis=axis % len(dims), start=start or 0, stop=end, step=step)


@_of(aten.unbind.int, moves=True)
def _unbind(emit: Emit, args: Any, kwargs: Any, dims: Any) -> Any:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % (len(dims[0]) + 1)
    return [emit("select", args[0], axis=axis, index=index) for index in range(len(dims))]


@_of(aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default, moves=True)
def _split(emit: Emit, args: Any, kwargs: Any, dims: Any) -> Any:
    axis = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % len(dims[0])
    ends = [sum(piece[axis] for piece in dims[: number + 1]) for number in range(len(dims))]
    return [
        emit("slice", args[0], axis=axis, start=end - piece[axis], stop=end, step=1)
        for end, piece in zip(ends, dims, strict=True)
    ]


@_of(aten.cat.default, moves=True)
def _cat(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return emit("cat", *args[0], axis=axis % len(dims))


@_of(aten.stack.default)
def _stack(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % len(dims)
    one = [*dims[:axis], 1, *dims[axis + 1 :]]
    return emit("cat", *(emit("reshape", each, shape=one) for each in args[0]), axis=axis)


@_of(aten.pad.default, aten.constant_pad_nd.default)
def _pad(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    said = [*args[2:], *kwargs.values()]
    mode = next((word for word in said if isinstance(word, str)), "constant")
    if mode != "constant":
        raise ValueError(f"padding by {mode} cannot be deployed yet: use zeros")
    around = [[0, 0] for _ in dims]
    for number, (before, after) in enumerate(zip(args[1][::2], args[1][1::2], strict=True)):
        around[-1 - number] = [before, after]
    value = next((float(number) for number in said if isinstance(number, int | float)), 0.0)
    return args[0] if not any(map(any, around)) else emit("pad", args[0], around=around, value=value)


@_of(aten.roll.default, moves=True)
def _roll(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("roll", args[0], by=list(args[1]), axes=[axis % len(dims) for axis in args[2]])


@_of(aten.index.Tensor)
def _index(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    asked = [(axis, index) for axis, index in enumerate(args[1]) if index is not None]
    if len(asked) != 1:
        raise ValueError("an index along several axes cannot be deployed yet: take one axis at a time")
    return emit("gather", args[0], asked[0][1], axis=asked[0][0])


@_of(aten.index_select.default)
def _index_select(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("gather", args[0], args[2], axis=args[1] % len(dims))


# ----------------------------------------------------------------------------------------------------------- arithmetic

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


@_of(aten.repeat_interleave.self_int)
def _repeat_interleave(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis = (args[2] if len(args) > 2 else kwargs["dim"]) % len(dims)
    before, length, behind = dims[:axis], dims[axis] // args[1], dims[axis + 1 :]
    one = emit("reshape", args[0], shape=[*before, length, 1, *behind])
    return emit("reshape", emit("expand", one, shape=[*before, length, args[1], *behind]), shape=list(dims))


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


for _how in ("ge", "gt", "le", "lt"):
    _of(getattr(aten, _how).Tensor, getattr(aten, _how).Scalar)(_compared(_how))


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
    shape, weight, bias, eps = _rest(args[:5], None, None, None, 1e-5)
    return emit("layer_norm", *(t for t in (args[0], weight, bias) if t is not None), axes=len(shape), eps=eps)


@_of(aten._native_batch_norm_legit_no_training.default)
def _legit_batch_norm(emit: Emit, args: Any, kwargs: Any, dims: Any) -> Any:
    return [_batch_norm(emit, (*args[:5], False, *args[5:]), kwargs, dims[0])]


@_of(aten.batch_norm.default)
def _batch_norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    x, weight, bias, mean, variance, _, _, eps = args[:8]
    assert mean.known is not None, "running means are buffers"
    factor = (variance.known.double() + eps).rsqrt()
    factor = factor if weight is None else factor * weight.known.double()
    added = -mean.known.double() * factor
    added = added if bias is None else added + bias.known.double()
    whole = (-1, *(1,) * (len(dims) - 2))
    return emit("add", emit("mul", x, factor.float().view(whole)), added.float().view(whole))


@_of(aten.linalg_vector_norm.default)
def _norm(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    order, axes, keep = _rest(args[:4], 2, None, False)
    if order != 2 or axes is None:
        raise ValueError("only norms of order 2 along axes can be deployed yet")
    return emit("norm", args[0], axes=list(axes), keep=keep)


def _reduction(op: str) -> Translation:
    def translation(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
        axes, keep = args[1], (args[2] if len(args) > 2 else kwargs.get("keepdim", False))
        rank = len(dims) + (0 if keep else len(axes))
        return emit(op, args[0], axes=[axis % rank for axis in axes], keep=keep)

    return translation


_of(aten.mean.dim)(_reduction("mean"))
_of(aten.sum.dim_IntList)(_reduction("sum"))
_of(aten.amax.default)(_reduction("max"))


# --------------------------------------------------------------------------------------- what may be a product of codes


@_of(aten.matmul.default, aten.bmm.default, aten.mm.default)
def _matmul(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("matmul", args[0], args[1])


@_of(aten.linear.default)
def _linear(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    product = emit("matmul", args[0], _with(args[1], lambda weight: weight.mT))
    return product if len(args) < 3 or args[2] is None else emit("add", product, args[2])


@_of(aten.conv2d.default)
def _conv2d(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    weight, bias, stride, padding, dilation, groups = _rest(args, None, None, 1, 0, 1, 1)
    how = {"stride": _pair(stride), "padding": _pair(padding), "dilation": _pair(dilation), "groups": groups}
    product = emit("conv", args[0], weight, **how)
    return product if bias is None else emit("add", product, _with(bias, lambda b: b.view(-1, 1, 1)))


@_of(aten.max_pool2d.default)
def _max_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    window, stride, padding, dilation, ceil = _rest(args, None, [], 0, 1, False)
    if _pair(dilation) != [1, 1]:
        raise ValueError("max pooling with a dilation cannot be deployed yet")
    return emit("max_pool", args[0], **_windows(window, stride, padding, ceil))


@_of(aten.avg_pool2d.default)
def _avg_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    window, stride, padding, ceil, counts = _rest(args[:6], None, [], 0, False, True)
    return emit("avg_pool", args[0], **_windows(window, stride, padding, ceil), counts_padding=counts)


def _windows(window: Any, stride: Any, padding: Any, ceil: bool) -> dict[str, Any]:
    return {"window": _pair(window), "stride": _pair(stride or window), "padding": _pair(padding), "ceil": ceil}


def _pair(size: Any) -> list[int]:
    return [size, size] if isinstance(size, int) else [*size, *size][:2]


@_of(aten.adaptive_avg_pool2d.default)
def _adaptive_avg_pool(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if tuple(dims[-2:]) != (1, 1):
        raise ValueError("adaptive average pooling to more than one pixel cannot be deployed yet: give it a window")
    return emit("mean", args[0], axes=[len(dims) - 2, len(dims) - 1], keep=True)


def _rest(args: Any, *defaults: Any) -> list[Any]:
    """The arguments behind the first, and the defaults of those that were not said."""
    return [*args[1:], *defaults[len(args) - 1 :]]


def _with(known: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """A known value, its tensor changed by what moves elements only."""
    return replace(known, known=change(known.known))
