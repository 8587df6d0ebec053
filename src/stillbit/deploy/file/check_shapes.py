"""The shape of what an operation puts out, and whether its inputs fit together.

A size -k is k times the batch, whatever its size is. Images do not meet: nothing sums, slices, pads or rolls along an
axis that grows with the batch, and no value has two of them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from stillbit.deploy.program import Dims, Step

Rule = Callable[..., Dims]
"""From the settings and the shapes of the inputs."""
DEEPEST = 16
"""Axes of a value."""


def shape_of(step: Step, shapes: list[Dims]) -> Dims:
    """The shape of what a step puts out; settings were checked before."""
    rule: Rule = _RULES.get(step.op, _elementwise)
    dims = rule(step.settings, *shapes)
    if len(dims) > DEEPEST:
        raise ValueError(f"its output has {len(dims)} axes, and a value has up to {DEEPEST}")
    if any(not 0 < abs(size) < 2**31 for size in dims):
        raise ValueError(f"its output of {spelled(dims)} has a size that is none")
    if sum(size < 0 for size in dims) > 1:
        raise ValueError(f"its output of {spelled(dims)} grows with the batch in two ways")
    return dims


def spelled(dims: Dims) -> str:
    """A shape as a sentence has it."""
    sizes = ("batch" if size == -1 else f"{-size} batch" if size < 0 else str(size) for size in dims)
    return " x ".join(sizes) or "one number"


def elements(dims: Dims) -> int:
    """How many numbers, for one image."""
    return prod(abs(size) for size in dims)


def summed(step: Step, shapes: list[Dims]) -> int:
    """How many products an output of a multiplication sums up."""
    return shapes[0][-1] if step.op in ("product", "matmul") else prod(shapes[1][1:])


def _broadcast(*shapes: Dims) -> Dims:
    rank = max(len(dims) for dims in shapes)
    out = []
    for axis in range(-rank, 0):
        sizes = {dims[axis] for dims in shapes if -axis <= len(dims)} - {1}
        if len(sizes) > 1:
            raise ValueError(f"its inputs of {' and '.join(map(spelled, shapes))} do not fit together")
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


def _elementwise(said: Any, *shapes: Dims) -> Dims:
    return _broadcast(*shapes)


def _fixed(dims: Dims, *axes: int) -> None:
    """These axes are there, and do not grow with the batch."""
    for axis in axes:
        if axis >= len(dims):
            raise ValueError(f"its input of {spelled(dims)} has no axis {axis}")
        if dims[axis] < 0:
            raise ValueError(f"axis {axis} of its input of {spelled(dims)} is the batch, and images would mix")


def _reshape(said: Any, x: Dims) -> Dims:
    out = tuple(said["shape"])
    if elements(out) != elements(x) or sum(s < 0 for s in out) != sum(s < 0 for s in x):
        raise ValueError(f"{spelled(x)} cannot become {spelled(out)}")
    return out


def _expand(said: Any, x: Dims) -> Dims:
    out = tuple(said["shape"])
    inner = out[len(out) - len(x) :]
    if len(x) > len(out) or any(old not in (1, new) for old, new in zip(x, inner, strict=True)):
        raise ValueError(f"{spelled(x)} cannot be spread to {spelled(out)}")
    return out


def _permute(said: Any, x: Dims) -> Dims:
    if sorted(said["axes"]) != list(range(len(x))):
        raise ValueError(f"{said['axes']} is no order of the axes of {spelled(x)}")
    return tuple(x[axis] for axis in said["axes"])


def _select(said: Any, x: Dims) -> Dims:
    axis, index = said["axis"], said["index"]
    _fixed(x, axis)
    if not -x[axis] <= index < x[axis]:
        raise ValueError(f"axis {axis} of its input of {spelled(x)} has no place {index}")
    return x[:axis] + x[axis + 1 :]


def _slice(said: Any, x: Dims) -> Dims:
    axis = said["axis"]
    if axis < len(x) and (said["start"], said["stop"], said["step"]) == (0, None, 1):
        return x
    _fixed(x, axis)
    taken = len(range(*slice(said["start"], said["stop"], said["step"]).indices(x[axis])))
    if not taken:
        raise ValueError(f"nothing is left of its input of {spelled(x)}")
    return (*x[:axis], taken, *x[axis + 1 :])


def _cat(said: Any, *parts: Dims) -> Dims:
    axis, first = said["axis"], parts[0]
    around = {(*dims[:axis], *dims[axis + 1 :]) for dims in parts}
    if axis >= len(first) or {len(dims) for dims in parts} != {len(first)} or len(around) > 1:
        raise ValueError(f"its inputs of {' and '.join(map(spelled, parts[:8]))} do not fit together on axis {axis}")
    if len({dims[axis] < 0 for dims in parts}) > 1:
        raise ValueError(f"axis {axis} is the batch in some of its inputs, and images would mix")
    return (*first[:axis], sum(dims[axis] for dims in parts), *first[axis + 1 :])


def _pad(said: Any, x: Dims) -> Dims:
    around = said["around"]
    if len(around) != len(x):
        raise ValueError(f"it pads {len(around)} axes of {spelled(x)}")
    _fixed(x, *(axis for axis, both in enumerate(around) if any(both)))
    return tuple(size + sum(both) for size, both in zip(x, around, strict=True))


def _roll(said: Any, x: Dims) -> Dims:
    _fixed(x, *said["axes"])
    return x


def _gather(said: Any, x: Dims, index: Dims) -> Dims:
    axis = said["axis"]
    _fixed(x, axis)
    return x[:axis] + index + x[axis + 1 :]


def _matmul(said: Any, a: Dims, b: Dims) -> Dims:
    if len(a) < 2 or len(b) < 2 or a[-1] != b[-2] or a[-1] < 0:
        raise ValueError(f"{spelled(a)} and {spelled(b)} cannot be multiplied")
    return (*_broadcast(a[:-2], b[:-2]), a[-2], b[-1])


def _conv(said: Any, x: Dims, kernel: Dims) -> Dims:
    groups = said["groups"]
    if len(x) != 4 or len(kernel) != 4 or x[1] != kernel[1] * groups or kernel[0] % groups:
        raise ValueError(f"{spelled(x)} and kernels of {spelled(kernel)} in {groups} groups do not fit together")
    _fixed(kernel, 0, 1, 2, 3)
    _fixed(x, 1, 2, 3)
    sizes = zip(x[2:], kernel[2:], said["stride"], said["padding"], said["dilation"], strict=True)
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    if min(out) < 1:
        raise ValueError(f"kernels of {spelled(kernel)} are larger than its input of {spelled(x)}")
    return (x[0], kernel[0], *out)


def _pool(said: Any, x: Dims) -> Dims:
    if len(x) != 4:
        raise ValueError(f"its input of {spelled(x)} is no image")
    _fixed(x, 2, 3)
    out = []
    for n, w, s, p in zip(x[2:], said["window"], said["stride"], said["padding"], strict=True):
        windows, left = divmod(n + 2 * p - w, s)
        further = said["ceil"] and left and (windows + 1) * s < n + p  # it begins in the image, or before it
        out.append(windows + 1 + bool(further))
    if min(out) < 1 or any(w > n + 2 * p for n, w, p in zip(x[2:], said["window"], said["padding"], strict=True)):
        raise ValueError(f"its window is larger than its input of {spelled(x)}")
    return (*x[:2], *out)


def _along(said: Any, x: Dims) -> Dims:
    _fixed(x, said["axis"])
    return x


def _layer_norm(said: Any, x: Dims, *parameters: Dims) -> Dims:
    axes = said["axes"]
    if axes > len(x):
        raise ValueError(f"its input of {spelled(x)} has no {axes} axes")
    _fixed(x, *range(len(x) - axes, len(x)))
    for dims in parameters:
        if dims != x[-axes:]:
            raise ValueError(f"a parameter of {spelled(dims)} does not fit its input of {spelled(x)}")
    return x


def _reduced(said: Any, x: Dims) -> Dims:
    axes, keep = said["axes"], said["keep"]
    if not axes or len(set(axes)) != len(axes):
        raise ValueError(f"{axes} are no axes to sum up")
    _fixed(x, *axes)
    return tuple(1 if axis in axes else size for axis, size in enumerate(x) if keep or axis not in axes)


_RULES: dict[str, Rule] = {
    "product": _matmul,
    "matmul": _matmul,
    "convolution": _conv,
    "conv": _conv,
    "reshape": _reshape,
    "expand": _expand,
    "permute": _permute,
    "select": _select,
    "slice": _slice,
    "cat": _cat,
    "pad": _pad,
    "roll": _roll,
    "gather": _gather,
    "max_pool": _pool,
    "avg_pool": _pool,
    "softmax": _along,
    "cumsum": _along,
    "layer_norm": _layer_norm,
    "mean": _reduced,
    "sum": _reduced,
    "max": _reduced,
    "norm": _reduced,
}
