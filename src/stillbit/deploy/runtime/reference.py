"""The meaning of a program, in numpy: slow, exact, and short enough to read.

What rounds, and how:

* ``quantize`` divides in float32, takes the offset off in float32, rounds half to even, and clamps. Codes are integers.
* ``product`` and ``convolution`` are integers. They are computed in float64, where integers below 2^53 are exact: a sum
  of products of codes of up to 8 bits stays below that for more than 10^11 terms. The sum is rounded to float32 once.
* What is float is float32, one operation at a time, in the order of the program, to the nearest and half to even.
  ``add``, ``sub``, ``mul`` and ``div`` are those of float32; everything else is computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, final

import numpy as np

from stillbit.deploy.inputs import Given, Wanted, length, parts
from stillbit.deploy.program import MULTIPLIES, Array, Program, Step, sizes

WIDE = np.float64
Operation = Callable[..., Array]
Codes = Mapping[str, Array]
"""By the name of the quantize step's output."""


@final
class Reference:
    """A program that runs here; what every other runtime is held against."""

    name = "reference"

    def __init__(self, program: Program) -> None:
        """Nothing to prepare."""
        self.program = program
        self.wanted = Wanted.of(program)

    def __call__(self, *given: Array) -> Array:
        """What the program makes of a batch."""
        return run(self.program, self.wanted.taken(given))

    def codes(self, given: Given, forced: Codes | None = None) -> Iterator[tuple[str, Array]]:
        """Every quantize step's codes, and every product's and convolution's `accumulator`, in order.

        Codes that are ``forced`` on a quantize step are what the steps behind it go on with.
        """
        for step, inputs, value in steps(self.program, self.wanted.taken(given), forced):
            if step.op == "quantize":
                yield step.output, value
            elif step.op in MULTIPLIES:
                yield step.output, accumulator(step, *inputs)


def run(program: Program, given: Given) -> Array:
    """What the program makes of a batch."""
    output: Array | None = None
    for step, _, value in steps(program, given):
        output = value if step.output == program.output else output
    assert output is not None, "a program computes its output"
    return output


def steps(
    program: Program, given: Given, forced: Codes | None = None
) -> Iterator[tuple[Step, tuple[Array, ...], Array]]:
    """Every step with what it takes in and what it puts out, in order; what no later step reads is forgotten.

    What a quantize step puts out is its own; if codes are ``forced`` on it, the steps behind it take in these.
    """
    values: dict[str, Array] = {name: constant.array for name, constant in program.constants.items()}
    for each, array in zip(program.inputs, parts(given), strict=True):
        values[each.name] = np.asarray(array, np.float32 if each.kind == "floats" else np.int64)
    last = {name: number for number, step in enumerate(program.steps) for name in step.inputs}
    for number, step in enumerate(program.steps):
        settings = dict(step.settings)
        if "shape" in settings:
            settings["shape"] = sizes(tuple(settings["shape"]), length(given))
        inputs = tuple(values[name] for name in step.inputs)
        value = OPERATIONS[step.op](*inputs, **settings)
        yield step, inputs, value
        if step.op == "quantize" and forced is not None and step.output in forced:
            value = np.asarray(forced[step.output]).astype(value.dtype)
        values[step.output] = value
        for name in set(step.inputs):
            if last[name] == number and name not in program.constants:
                del values[name]


def _single(x: Array) -> Array:
    """In float32."""
    return np.asarray(x, np.float32)


# ---------------------------------------------------------------------------------------------------------------- codes


def before(x: Array, scale: Array | None = None, *_: Array, offset: float = 0.0, **__: Any) -> Array:
    """What `quantize` rounds: ``x / scale - offset``, in float32."""
    divided = x if scale is None else x / scale
    return _single(divided - np.float32(offset) if offset else divided)


def quantize(x: Array, scale: Array | None = None, *bounds: Array, low: int, high: int, offset: float) -> Array:
    """``clamp(round(x / scale - offset), low, high)``, rounded half to even; ``bounds`` may be narrower."""
    codes = np.clip(np.rint(before(x, scale, offset=offset)), low, high)
    return (np.clip(codes, *bounds) if bounds else codes).astype(np.int32)


def level(codes: Array, *, offset: float) -> Array:
    """``code + offset``."""
    return _single(codes + offset)


def accumulator(step: Step, *inputs: Array) -> Array:
    """The integers of a product or a convolution: the sum of ``d_a * d_b``.

    ``d`` is ``2 * code + 1`` on a side whose grid has no zero (its offset is 1/2), and the code itself on any other.
    """
    how = {name: value for name, value in step.settings.items() if name != "offsets"}
    multiply = np.matmul if step.op == "product" else _windows_product
    sides = (_doubled(codes, offset) for codes, offset in zip(inputs, step.settings["offsets"], strict=True))
    return multiply(*sides, **how).astype(np.int64)


def _doubled(codes: Array, offset: float) -> Array:
    assert offset in (0.0, 0.5), "a grid has a zero, or lies around it"
    return codes * WIDE(2) + 1 if offset else codes.astype(WIDE)


def product(a: Array, b: Array, *, offsets: list[float]) -> Array:
    """The sum over k of ``(a[.., n, k] + offset_a) * (b[.., k, o] + offset_b)``, rounded once."""
    return _single((a + WIDE(offsets[0])) @ (b + WIDE(offsets[1])))


def convolution(a: Array, b: Array, *, offsets: list[float], **how: Any) -> Array:
    """The same over windows of an image; what is padded adds nothing."""
    return _single(_windows_product(a + WIDE(offsets[0]), b + WIDE(offsets[1]), **how))


def _windows_product(
    x: Array, kernel: Array, *, stride: list[int], padding: list[int], dilation: list[int], groups: int
) -> Array:
    x = np.pad(x, ((0, 0), (0, 0), *((p, p) for p in padding)))
    reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel.shape[2:], strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    windows = windows[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    n, _, high, wide = windows.shape[:4]
    taken = windows.reshape(n, groups, -1, high, wide, *kernel.shape[2:])
    kernels = kernel.reshape(groups, -1, *kernel.shape[1:])
    summed: Array = np.einsum("ngchwij,gocij->ngohw", taken, kernels, optimize=True)
    return summed.reshape(n, -1, high, wide)


# -------------------------------------------------------------------------------------------------------------- indices


def _index(x: Array, *, size: int) -> Array:
    """Whole numbers in floats as indices from 0 to below ``size``; what is no number is the last, and a part is cut."""
    return np.fmax(np.fmin(x, size - 1), 0).astype(np.int64)


# ------------------------------------------------------------------------------------------------------ moving elements


def _slice(x: Array, *, axis: int, start: int, stop: int | None, step: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, stop, step),)]


def _pad(x: Array, *, around: list[list[int]], value: float) -> Array:
    return np.pad(x, around, constant_values=value)


# --------------------------------------------------------------------------------------------------------------- floats


def _two(function: Operation) -> Operation:
    def operation(x: Array, y: Array | None = None, *, by: float | None = None) -> Array:
        return _single(function(x, np.float32(by) if y is None else y))

    return operation


def _one(function: Operation) -> Operation:
    return lambda x: _single(function(x.astype(WIDE)))


def _clamp(x: Array, *bounds: Array, low: float | None = None, high: float | None = None) -> Array:
    return _single(np.clip(x, *(bounds or (low, high))))


COMPARE: dict[str, Operation] = {
    "ge": np.greater_equal,
    "gt": np.greater,
    "le": np.less_equal,
    "lt": np.less,
    "eq": np.equal,
    "ne": np.not_equal,
}


def _compare(x: Array, y: Array | None = None, *, how: str, by: float | None = None) -> Array:
    other = np.float32(by) if y is None else y
    compared: Array = COMPARE[how](x, other)
    return compared


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _gelu(x: Array, *, tanh: bool) -> Array:
    x = x.astype(WIDE)
    if tanh:
        inner = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    else:
        inner = np.vectorize(math.erf, otypes=[WIDE])(x / math.sqrt(2))
    return _single(x * (1 + inner) / 2)


def _softmax(x: Array, *, axis: int) -> Array:
    x = np.exp(x.astype(WIDE) - x.max(axis, keepdims=True))
    return _single(x / x.sum(axis, keepdims=True))


def _layer_norm(x: Array, weight: Any = 1.0, bias: Any = 0.0, *, axes: int, eps: float) -> Array:
    along = tuple(range(-axes, 0))
    x = x.astype(WIDE)
    centred = x - x.mean(along, keepdims=True)
    spread = np.sqrt((centred**2).mean(along, keepdims=True) + eps)
    return _single(centred / spread * weight + bias)


def _reduced(function: Operation) -> Operation:
    def operation(x: Array, *, axes: list[int], keep: bool) -> Array:
        return _single(function(x.astype(WIDE), tuple(axes), keep))

    return operation


def _max_pool(x: Array, **how: Any) -> Array:
    return _single(_pools(x, (-np.inf, -np.inf), **how).max((-2, -1)))


def _avg_pool(x: Array, *, counts_padding: bool, **how: Any) -> Array:
    # Whether what is padded counts; what is added to round up never does.
    counted = _pools(np.ones((1, 1, *x.shape[2:])), (1.0 if counts_padding else 0.0, 0.0), **how).sum((-2, -1))
    return _single(_pools(x, (0.0, 0.0), **how).sum((-2, -1)) / counted)


def _pools(
    x: Array,
    outside: tuple[float, float],
    *,
    window: list[int],
    stride: list[int],
    padding: list[int],
    ceil: bool,
) -> Array:
    """Every window; ``outside`` is what stands in the padding, and what is added to round up."""
    framed = np.pad(x.astype(WIDE), ((0, 0), (0, 0), *((p, p) for p in padding)), constant_values=outside[0])
    if ceil:  # room for one more window where it begins inside of the image or of what is padded before it
        left = [(n - w) % s for n, w, s in zip(framed.shape[2:], window, stride, strict=True)]
        more = [s - r if r and s + p < w + r else 0 for r, w, s, p in zip(left, window, stride, padding, strict=True)]
        framed = np.pad(framed, ((0, 0), (0, 0), *((0, m) for m in more)), constant_values=outside[1])
    windows = np.lib.stride_tricks.sliding_window_view(framed, tuple(window), axis=(2, 3))
    return windows[:, :, :: stride[0], :: stride[1]]


OPERATIONS: dict[str, Operation] = {
    "quantize": quantize,
    "level": level,
    "product": product,
    "convolution": convolution,
    "number": lambda x: _single(x),
    "index": _index,
    "reshape": lambda x, *, shape: x.reshape(shape),
    "expand": lambda x, *, shape: np.broadcast_to(x, shape),
    "permute": lambda x, *, axes: x.transpose(axes),
    "select": lambda x, *, axis, index: x.take(index, axis),
    "slice": _slice,
    "cat": lambda *parts, axis: np.concatenate(parts, axis),
    "pad": _pad,
    "roll": lambda x, *, by, axes: np.roll(x, by, axes),
    "gather": lambda x, index, *, axis: x.take(index, axis),
    "add": _two(np.add),
    "sub": _two(np.subtract),
    "mul": _two(np.multiply),
    "div": _two(np.divide),
    "neg": _one(np.negative),
    "abs": _one(np.abs),
    "exp": _one(np.exp),
    "sqrt": _one(np.sqrt),
    "rsqrt": _one(lambda x: 1 / np.sqrt(x)),
    "relu": _one(lambda x: np.maximum(x, 0)),
    "silu": _one(lambda x: x * _sigmoid(x)),
    "sigmoid": _one(_sigmoid),
    "tanh": _one(np.tanh),
    "hardswish": _one(lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "hardsigmoid": _one(lambda x: np.clip(x + 3, 0, 6) / 6),
    "clamp": _clamp,
    "compare": _compare,
    "where": np.where,
    "gelu": _gelu,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "mean": _reduced(lambda x, axes, keep: x.mean(axes, keepdims=keep)),
    "sum": _reduced(lambda x, axes, keep: x.sum(axes, keepdims=keep)),
    "cumsum": lambda x, *, axis: _single(x.astype(WIDE).cumsum(axis)),
    "max": _reduced(lambda x, axes, keep: x.max(axes, keepdims=keep)),
    "norm": _reduced(lambda x, axes, keep: np.sqrt((x**2).sum(axes, keepdims=keep))),
    "matmul": lambda a, b: np.matmul(a.astype(WIDE), b.astype(WIDE)).astype(np.float32),
    "conv": lambda a, b, **how: _windows_product(a.astype(WIDE), b.astype(WIDE), **how).astype(np.float32),
    "max_pool": _max_pool,
    "avg_pool": _avg_pool,
}
