"""What is float beside the integers, twice: as the reference says it, and quickly.

Exact: everything but ``add``, ``sub``, ``mul`` and ``div`` is computed in float64 and rounded once, as the reference
does it. Two float64 libraries differ in the last bit of an ``exp``, so here and there, once in a hundred million
numbers, a float32 differs in its last bit too; codes then differ only if it is a tie as well.

Quick: float32 throughout, by torch's own kernels, whose last bits may differ.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Operation = Callable[..., Tensor]
WIDE, SINGLE = torch.float64, torch.float32


def quantize(x: Tensor, scale: Tensor | None = None, *bounds: Tensor, low: int, high: int, offset: float) -> Tensor:
    """``clamp(round(x / scale - offset), low, high)`` in float32, still a float."""
    steps = x.clone() if scale is None else x / scale
    if offset:
        steps = steps.sub_(offset)
    return settled(steps, *bounds, low=low, high=high)


def settled(x: Tensor, *bounds: Tensor, low: int, high: int) -> Tensor:
    """``x`` itself, rounded half to even and clamped; ``bounds`` may be narrower."""
    codes = x.round_().clamp_(low, high)
    return torch.clamp(codes, *bounds) if bounds else codes


# -------------------------------------------------------------------------------------------------------- both the same


def _two(function: Operation) -> Operation:
    def operation(x: Tensor, y: Tensor | None = None, *, by: float | None = None) -> Tensor:
        # a tensor and not a number, which a kernel may turn into a product with its reciprocal
        return function(x, torch.tensor(by, dtype=SINGLE) if y is None else y)

    return operation


def _clamp(x: Tensor, *bounds: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    return torch.clamp(x, *bounds) if bounds else torch.clamp(x, low, high)


def _compare(x: Tensor, y: Tensor | None = None, *, how: str, by: float | None = None) -> Tensor:
    compared: Tensor = getattr(torch, how)(x, torch.tensor(by, dtype=SINGLE) if y is None else y)
    return compared


def _where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition.to(torch.bool), x, y)


def _max_pool(x: Tensor, *, window: list[int], stride: list[int], padding: list[int], ceil: bool) -> Tensor:
    return F.max_pool2d(x, window, stride, padding, ceil_mode=ceil)


ALIKE: dict[str, Operation] = {
    "add": _two(torch.add),
    "sub": _two(torch.sub),
    "mul": _two(torch.mul),
    "div": _two(torch.div),
    "neg": torch.neg,
    "abs": torch.abs,
    "relu": torch.relu,
    "clamp": _clamp,
    "compare": _compare,
    "where": _where,
    "max": lambda x, *, axes, keep: x.amax(axes, keepdim=keep),
    "max_pool": _max_pool,
}
"""Nothing is rounded here, or as float32 always does it."""


# ---------------------------------------------------------------------------------------------------------------- quick


def _gelu(x: Tensor, *, tanh: bool) -> Tensor:
    return F.gelu(x, approximate="tanh" if tanh else "none")


def layer_norm(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, *, axes: int, eps: float) -> Tensor:
    """Of the last ``axes`` axes; weight and bias may repeat along them."""
    shape = x.shape[-axes:]
    weight, bias = (part if part is None else part.expand(shape).contiguous() for part in (weight, bias))
    return torch.layer_norm(x, shape, weight, bias, eps)


def _avg_pool(x: Tensor, *, window: Any, stride: Any, padding: Any, ceil: bool, counts_padding: bool) -> Tensor:
    return F.avg_pool2d(x, window, stride, padding, ceil, counts_padding)


_FUNCTIONS: dict[str, Operation] = {
    "exp": torch.exp,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "hardsigmoid": F.hardsigmoid,
    "gelu": _gelu,
    "softmax": lambda x, *, axis: torch.softmax(x, axis),
    "layer_norm": layer_norm,
    "mean": lambda x, *, axes, keep: x.mean(axes, keepdim=keep),
    "sum": lambda x, *, axes, keep: x.sum(axes, keepdim=keep),
    "cumsum": lambda x, *, axis: x.cumsum(axis),
    "norm": lambda x, *, axes, keep: torch.linalg.vector_norm(x, 2, axes, keepdim=keep),
    "matmul": torch.matmul,
    "conv": lambda x, kernel, **how: F.conv2d(x, kernel, **how),
    "avg_pool": _avg_pool,
}
QUICK = {**ALIKE, **_FUNCTIONS}


# ---------------------------------------------------------------------------------------------------------------- exact


def _wide(function: Operation) -> Operation:
    """In float64, rounded once."""

    def operation(*inputs: Tensor, **settings: Any) -> Tensor:
        return function(*(x.to(WIDE) for x in inputs), **settings).to(SINGLE)

    return operation


def _exact_layer_norm(x: Tensor, *parameters: Tensor, axes: int, eps: float) -> Tensor:
    along = [*range(-axes, 0)]
    centred = x - x.mean(along, keepdim=True)
    scaled = centred / (centred.square().mean(along, keepdim=True) + eps).sqrt()
    for parameter, apply in zip(parameters, (operator.mul, operator.add), strict=False):
        scaled = apply(scaled, parameter)
    return scaled


def _exact_softmax(x: Tensor, *, axis: int) -> Tensor:
    raised = (x - x.amax(axis, keepdim=True)).exp()
    return raised / raised.sum(axis, keepdim=True)


_WRITTEN: dict[str, Operation] = {
    "layer_norm": _exact_layer_norm,
    "softmax": _exact_softmax,
    "rsqrt": lambda x: 1 / x.sqrt(),
    "silu": lambda x: x * (1 / (1 + (-x).exp())),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "hardsigmoid": lambda x: (x + 3).clamp(0, 6) / 6,
    "norm": lambda x, *, axes, keep: x.square().sum(axes, keepdim=keep).sqrt(),
}
EXACT = {**ALIKE, **{name: _wide(_WRITTEN.get(name, function)) for name, function in _FUNCTIONS.items()}}
