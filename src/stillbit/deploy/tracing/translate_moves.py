"""Torch's operations that move elements, in the words of a program."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from stillbit.deploy.program import Dims
from stillbit.deploy.tracing.translation import Emit, Translation, entering, rest

aten = torch.ops.aten
MOVING: dict[Any, Translation] = {}
"""Those that only move elements of one tensor, or of several alike, so that codes stay codes."""
OTHERS: dict[Any, Translation] = {}
"""Those that may bring in something else: numbers around an image, or elements that are asked for."""
OF_EACH = "elements that differ from image to image cannot be deployed yet: take the same of each, or a table's"
_moves, _of = entering(MOVING), entering(OTHERS)


@_moves(
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
)
def _reshape(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("reshape", args[0], shape=list(dims))


@_moves(aten.expand.default, aten.expand_as.default)
def _expand(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    spread, row = emit("expand", args[0], shape=list(dims)), args[0].known
    return spread if row is None or row.numel() != dims[-1] else replace(spread, row=row.reshape(-1))


@_moves(aten.permute.default)
def _permute(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("permute", args[0], axes=[axis % len(dims) for axis in args[1]])


@_moves(aten.transpose.int)
def _transpose(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axes = list(range(len(dims)))
    first, second = args[1] % len(dims), args[2] % len(dims)
    axes[first], axes[second] = second, first
    return emit("permute", args[0], axes=axes)


@_moves(aten.mT.default, aten.t.default)
def turn(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    """The last two axes exchanged."""
    return _transpose(emit, (args[0], -2, -1), {}, dims)


@_moves(aten.select.int)
def _select(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("select", args[0], axis=args[1] % (len(dims) + 1), index=args[2])


@_moves(aten.slice.Tensor)
def _slice(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis, start, stop, step = rest(args, 0, None, None, 1)
    end = None if stop is None or stop >= 2**62 else stop
    return emit("slice", args[0], axis=axis % len(dims), start=start or 0, stop=end, step=step)


@_moves(aten.unbind.int)
def _unbind(emit: Emit, args: Any, kwargs: Any, dims: Any) -> Any:
    axis = (args[1] if len(args) > 1 else kwargs.get("dim", 0)) % (len(dims[0]) + 1)
    return [emit("select", args[0], axis=axis, index=index) for index in range(len(dims))]


@_moves(aten.split.Tensor, aten.split_with_sizes.default, aten.chunk.default)
def _split(emit: Emit, args: Any, kwargs: Any, dims: Any) -> Any:
    axis = (args[2] if len(args) > 2 else kwargs.get("dim", 0)) % len(dims[0])
    ends = [sum(piece[axis] for piece in dims[: number + 1]) for number in range(len(dims))]
    return [
        emit("slice", args[0], axis=axis, start=end - piece[axis], stop=end, step=1)
        for end, piece in zip(ends, dims, strict=True)
    ]


@_moves(aten.cat.default)
def _cat(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis = args[1] if len(args) > 1 else kwargs.get("dim", 0)
    return emit("cat", *args[0], axis=axis % len(dims))


@_moves(aten.stack.default)
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


@_moves(aten.roll.default)
def _roll(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("roll", args[0], by=list(args[1]), axes=[axis % len(dims) for axis in args[2]])


@_of(aten.index.Tensor)
def _index(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    asked = [(axis, index) for axis, index in enumerate(args[1]) if index is not None]
    (axis, index), rest_of = asked[0], asked[1:]
    if index.numbers and axis == 0 and [place for place, _ in rest_of] == [1]:
        return _of_each(emit, args[0], index, rest_of[0][1], dims)
    if index.numbers and axis == 0 and not rest_of:
        return emit("reshape", args[0], shape=list(dims))
    if rest_of or index.numbers:
        raise ValueError("an index along several axes cannot be deployed yet: take one axis at a time")
    return emit("gather", args[0], index, axis=axis)


def _of_each(emit: Emit, x: Any, numbers: Any, index: Any, dims: Dims) -> Any:
    """``x[number, index]``: the same elements of each image."""
    rank = len(numbers.shape)
    same = index.known is not None and (index.known.dim() < rank or index.known.size(0) == 1)
    if not same or any(size > 1 for size in numbers.shape[1:]):
        raise ValueError(OF_EACH)
    taken = index.known.reshape((1,) * (rank - index.known.dim()) + tuple(index.known.shape))[0]
    return emit("reshape", emit("gather", x, taken, axis=1), shape=list(dims))


@_of(aten.embedding.default)
def _embedding(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("gather", args[0], args[1], axis=0)


@_of(aten.gather.default)
def _gather(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    """Of a table that is one row, spread over the batch: elements of that row."""
    row = args[0].row
    if row is None or args[1] % len(dims) != len(dims) - 1:
        raise ValueError(OF_EACH)
    return emit("gather", row, args[2], axis=0)


@_of(aten.index_select.default)
def _index_select(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("gather", args[0], args[2], axis=args[1] % len(dims))


@_of(aten.copy.default)
def _copy(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    return emit("expand", args[1], shape=list(dims))


@_moves(aten.repeat.default)
def _repeat(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    lengths = (*(1,) * (len(dims) - len(args[0].shape)), *args[0].shape)
    apart, wide = [], []
    for length, times, size in zip(lengths, args[1], dims, strict=True):
        again = length > 1 and times > 1  # a whole axis again: beside it one that is repeated
        kept = times == 1 and args[0].known is None  # it may be the batch
        apart += [1, length] if again else [size if kept else length]
        wide += [times, length] if again else [size]
    return emit("reshape", emit("expand", emit("reshape", args[0], shape=apart), shape=wide), shape=list(dims))


@_moves(aten.repeat_interleave.self_int)
def _repeat_interleave(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    axis = (args[2] if len(args) > 2 else kwargs["dim"]) % len(dims)
    before, length, behind = dims[:axis], dims[axis] // args[1], dims[axis + 1 :]
    one = emit("reshape", args[0], shape=[*before, length, 1, *behind])
    return emit("reshape", emit("expand", one, shape=[*before, length, args[1], *behind]), shape=list(dims))


@_moves(aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default)
def _dropout(emit: Emit, args: Any, kwargs: Any, dims: Dims) -> Any:
    if args[2]:
        raise ValueError("dropout that goes on in eval mode cannot be deployed")
    return args[0]
