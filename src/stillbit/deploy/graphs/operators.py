"""What a program's operations on floats are called in ONNX, and those that move elements.

Each entry gets the writer, the tensors that go in, and the settings of the step, and gives back the tensor that comes
out. Where ONNX has no such operation, it is put together from those it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.program import Dims

Operator = Callable[..., str]
OPERATORS: dict[str, Operator] = {}

LAST = np.iinfo(np.int64).max
"""What ONNX takes for the end of an axis."""


def _of(*ops: str) -> Callable[[Operator], Operator]:
    def register(operator: Operator) -> Operator:
        OPERATORS.update(dict.fromkeys(ops, operator))
        return operator

    return register


# ------------------------------------------------------------------------------------------------------ moving elements


@_of("reshape")
def _reshape(graph: Graph, x: str, *, shape: Dims) -> str:
    # The size of the batch is in one of the sizes only, as often as in the whole: what is left over is that one.
    return graph.node("Reshape", x, graph.numbers(*(-1 if size < 0 else size for size in shape)))


@_of("expand")
def _expand(graph: Graph, x: str, *, shape: Dims) -> str:
    if min(shape, default=1) > 0:
        return graph.node("Expand", x, graph.numbers(*shape))
    batch = graph.node("Shape", graph.given, start=0, end=1)
    sizes = [graph.numbers(size) if size > 0 else _times(graph, batch, -size) for size in shape]
    return graph.node("Expand", x, graph.node("Concat", *sizes, axis=0))


def _times(graph: Graph, batch: str, factor: int) -> str:
    return batch if factor == 1 else graph.node("Mul", batch, graph.numbers(factor))


@_of("permute")
def _permute(graph: Graph, x: str, *, axes: list[int]) -> str:
    return graph.turned(x, axes)


@_of("select")
def _select(graph: Graph, x: str, *, axis: int, index: int) -> str:
    index_of = graph.constant(np.asarray(index, np.int64), "index")
    if x not in graph.permuted:
        return graph.node("Gather", x, index_of, axis=axis)
    # Of a permuted tensor the one that is asked for is taken out first: less to permute.
    base, axes = graph.permuted[x]
    taken = graph.node("Gather", base, index_of, axis=axes[axis])
    rest = [a - (a > axes[axis]) for number, a in enumerate(axes) if number != axis]
    return graph.turned(taken, rest)


@_of("slice")
def _slice(graph: Graph, x: str, *, axis: int, start: int, stop: int | None, step: int) -> str:
    ends = [start, LAST if stop is None else stop, axis, step]
    return graph.node("Slice", x, *(graph.numbers(each) for each in ends))


@_of("cat")
def _cat(graph: Graph, *parts: str, axis: int) -> str:
    return graph.node("Concat", *parts, axis=axis)


@_of("pad")
def _pad(graph: Graph, x: str, *, around: list[list[int]], value: float) -> str:
    ends = graph.numbers(*(before for before, _ in around), *(after for _, after in around))
    return graph.node("Pad", x, ends, graph.single(value))


@_of("roll")
def _roll(graph: Graph, x: str, *, by: list[int], axes: list[int]) -> str:
    for shift, axis in zip(by, axes, strict=True):
        if shift:  # the last ones come first
            tail = _slice(graph, x, axis=axis, start=-shift, stop=None, step=1)
            x = graph.node("Concat", tail, _slice(graph, x, axis=axis, start=0, stop=-shift, step=1), axis=axis)
    return x


@_of("gather")
def _gather(graph: Graph, x: str, index: str, *, axis: int) -> str:
    return graph.node("Gather", x, index, axis=axis)


# -------------------------------------------------------------------------------------------------------------- indices


@_of("number")
def _number(graph: Graph, x: str) -> str:
    from onnx import TensorProto

    return graph.node("Cast", x, to=TensorProto.FLOAT)


@_of("index")
def _index(graph: Graph, x: str, *, size: int) -> str:
    from onnx import TensorProto

    inside = clamp(graph, x, low=0.0, high=float(size - 1))
    return graph.node("Cast", inside, to=TensorProto.INT64)


@_of("cumsum")
def _cumsum(graph: Graph, x: str, *, axis: int) -> str:
    return graph.node("CumSum", x, graph.constant(np.asarray(axis, np.int64), "axis"))


# ----------------------------------------------------------------------------------------------------------- arithmetic


def _two(name: str) -> Operator:
    def operator(graph: Graph, x: str, y: str | None = None, *, by: float | None = None) -> str:
        return graph.node(name, x, graph.single(by) if y is None else y)

    return operator


def _one(*names: str) -> Operator:
    def operator(graph: Graph, x: str) -> str:
        for name in names:
            x = graph.node(name, x)
        return x

    return operator


for _op in ("add", "sub", "mul", "div"):
    _of(_op)(_two(_op.capitalize()))
for _op in ("neg", "abs", "exp", "sqrt", "relu", "sigmoid", "tanh"):
    _of(_op)(_one(_op.capitalize()))
_of("rsqrt")(_one("Sqrt", "Reciprocal"))
_of("hardswish")(_one("HardSwish"))
_of("matmul")(_two("MatMul"))


@_of("silu")
def _silu(graph: Graph, x: str) -> str:
    return graph.node("Mul", x, graph.node("Sigmoid", x))


@_of("hardsigmoid")
def _hardsigmoid(graph: Graph, x: str) -> str:
    return graph.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@_of("gelu")
def _gelu(graph: Graph, x: str, *, tanh: bool) -> str:
    return graph.node("Gelu", x, approximate="tanh" if tanh else "none")


@_of("clamp")
def clamp(graph: Graph, x: str, *bounds: str, low: float | None = None, high: float | None = None) -> str:
    """Between two numbers, or two tensors."""
    if bounds:
        return graph.node("Min", graph.node("Max", x, bounds[0]), bounds[1])
    ends = ["" if end is None else graph.single(end, "bound") for end in (low, high)]
    return graph.node("Clip", x, *(ends if ends[1] else ends[:1]))


COMPARISONS = {
    "ge": "GreaterOrEqual",
    "gt": "Greater",
    "le": "LessOrEqual",
    "lt": "Less",
    "eq": "Equal",
    "ne": "Equal",
}


@_of("compare")
def _compare(graph: Graph, x: str, y: str | None = None, *, how: str, by: float | None = None) -> str:
    name = COMPARISONS[how]
    compared = graph.node(name, x, graph.single(by) if y is None else y)
    return graph.node("Not", compared) if how == "ne" else compared


@_of("where")
def _where(graph: Graph, condition: str, x: str, y: str) -> str:
    from onnx import TensorProto

    # A constant condition is a tensor of numbers.
    asked = graph.node("Cast", condition, to=TensorProto.BOOL) if condition in graph.held else condition
    return graph.node("Where", asked, x, y)


@_of("softmax")
def _softmax(graph: Graph, x: str, *, axis: int) -> str:
    return graph.node("Softmax", x, axis=axis)


@_of("layer_norm")
def _layer_norm(graph: Graph, x: str, *affine: str, axes: int, eps: float) -> str:
    weights = affine or (graph.single(1.0),)
    return graph.node("LayerNormalization", x, *weights, axis=-axes, epsilon=eps)


def _reduced(name: str) -> Operator:
    def operator(graph: Graph, x: str, *, axes: list[int], keep: bool) -> str:
        return graph.node(name, x, graph.numbers(*axes), keepdims=int(keep))

    return operator


_of("mean")(_reduced("ReduceMean"))
_of("sum")(_reduced("ReduceSum"))
_of("max")(_reduced("ReduceMax"))
_of("norm")(_reduced("ReduceL2"))


# ------------------------------------------------------------------------------------------------- windows of an image


def windows(*, stride: list[int], padding: list[int], dilation: list[int], groups: int) -> dict[str, Any]:
    """How ONNX says it."""
    return {"strides": stride, "pads": [*padding, *padding], "dilations": dilation, "group": groups}


@_of("conv")
def _conv(graph: Graph, x: str, kernel: str, **how: Any) -> str:
    return graph.node("Conv", x, kernel, **windows(**how))


@_of("max_pool")
def _max_pool(graph: Graph, x: str, **how: Any) -> str:
    return graph.node("MaxPool", x, **_pools(**how))


@_of("avg_pool")
def _avg_pool(graph: Graph, x: str, *, counts_padding: bool, **how: Any) -> str:
    return graph.node("AveragePool", x, count_include_pad=int(counts_padding), **_pools(**how))


def _pools(*, window: list[int], stride: list[int], padding: list[int], ceil: bool) -> dict[str, Any]:
    return {"kernel_shape": window, "strides": stride, "pads": [*padding, *padding], "ceil_mode": int(ceil)}
