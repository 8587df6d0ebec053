"""The settings that each operation takes, and how many inputs: no more, no less, none of another kind."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from stillbit.deploy.program import Step

Kind = Callable[[Any], bool]
OFFSETS = (0.0, 0.5)
LARGEST = (2 - 2**-23) * 2.0**127
"""Of float32."""
CODES = 2**15
"""Codes lie below it, and not below its negative."""


def whole(said: Any) -> bool:
    """An integer that a size or a place can be."""
    return type(said) is int and -(2**31) < said < 2**31


def count(said: Any) -> bool:
    """An integer from zero."""
    return whole(said) and said >= 0


def positive(said: Any) -> bool:
    """An integer from one."""
    return whole(said) and said > 0


def number(said: Any) -> bool:
    """A finite number."""
    return type(said) in (int, float) and math.isfinite(said) and abs(said) <= LARGEST


def flag(said: Any) -> bool:
    """Yes or no."""
    return type(said) is bool


def code(said: Any) -> bool:
    """An end of a grid."""
    return whole(said) and -CODES <= said < CODES


def offset(said: Any) -> bool:
    """What lies between a code and its level."""
    return number(said) and said in OFFSETS


def size(said: Any) -> bool:
    """Of a shape; a negative one grows with the batch."""
    return whole(said) and said != 0


def listed(kind: Kind, length: int | None = None) -> Kind:
    """A list of those, perhaps of so many."""

    def is_listed(said: Any) -> bool:
        right = isinstance(said, list | tuple) and len(said) <= 32 and (length is None or len(said) == length)
        return right and all(kind(each) for each in said)

    return is_listed


def perhaps(kind: Kind) -> Kind:
    """One of those, or nothing."""
    return lambda said: said is None or kind(said)


def among(*words: str) -> Kind:
    """One of these words."""
    return lambda said: isinstance(said, str) and said in words


@dataclass(frozen=True)
class Form:
    """What an operation takes."""

    inputs: tuple[int, ...]
    """The numbers of inputs that there may be."""
    settings: dict[str, Kind] = field(default_factory=dict)
    optional: dict[str, Kind] = field(default_factory=dict)


_PAIR = listed(positive, 2)
_WINDOW = {"stride": _PAIR, "padding": listed(count, 2), "dilation": _PAIR, "groups": positive}
_POOL = {"window": _PAIR, "stride": _PAIR, "padding": listed(count, 2), "ceil": flag}
_ONE = Form((1,))
_TWO = Form((1, 2), optional={"by": number})
_REDUCTION = Form((1,), {"axes": listed(count), "keep": flag})
FORMS = {
    "quantize": Form((1, 2, 4), {"low": code, "high": code, "offset": offset}),
    "level": Form((1,), {"offset": offset}),
    "number": _ONE,
    "index": Form((1,), {"size": positive}),
    "product": Form((2,), {"offsets": listed(offset, 2)}),
    "convolution": Form((2,), {**_WINDOW, "offsets": listed(offset, 2)}),
    "reshape": Form((1,), {"shape": listed(size)}),
    "expand": Form((1,), {"shape": listed(size)}),
    "permute": Form((1,), {"axes": listed(count)}),
    "select": Form((1,), {"axis": count, "index": whole}),
    "slice": Form((1,), {"axis": count, "start": whole, "stop": perhaps(whole), "step": positive}),
    "cat": Form(tuple(range(1, 257)), {"axis": count}),
    "pad": Form((1,), {"around": listed(listed(count, 2)), "value": number}),
    "roll": Form((1,), {"by": listed(whole), "axes": listed(count)}),
    "gather": Form((2,), {"axis": count}),
    **dict.fromkeys(("add", "sub", "mul", "div"), _TWO),
    **dict.fromkeys(("neg", "abs", "exp", "sqrt", "rsqrt", "relu", "silu", "sigmoid", "tanh"), _ONE),
    **dict.fromkeys(("hardswish", "hardsigmoid"), _ONE),
    "clamp": Form((1, 3), optional={"low": perhaps(number), "high": perhaps(number)}),
    "compare": Form((1, 2), {"how": among("ge", "gt", "le", "lt", "eq", "ne")}, {"by": number}),
    "where": Form((3,)),
    "gelu": Form((1,), {"tanh": flag}),
    "softmax": Form((1,), {"axis": count}),
    "cumsum": Form((1,), {"axis": count}),
    "layer_norm": Form((1, 2, 3), {"axes": positive, "eps": number}),
    **dict.fromkeys(("mean", "sum", "max", "norm"), _REDUCTION),
    "matmul": Form((2,)),
    "conv": Form((2,), _WINDOW),
    "max_pool": Form((1,), _POOL),
    "avg_pool": Form((1,), {**_POOL, "counts_padding": flag}),
}


def check_settings(step: Step) -> None:
    """Whether a step is of an operation that there is, with the inputs and settings that it takes."""
    form = FORMS.get(step.op)
    if form is None:
        raise ValueError(f"no operation is called {step.op!r:.40}")
    if len(step.inputs) not in form.inputs:
        raise ValueError(f"it takes in {len(step.inputs)} values")
    for name in sorted(form.settings.keys() - step.settings.keys()):
        raise ValueError(f"it lacks the setting {name}")
    for name, said in step.settings.items():
        kind = form.settings.get(name) or form.optional.get(name)
        if kind is None:
            raise ValueError(f"it has no setting {name!r:.40}")
        if not kind(said):
            raise ValueError(f"its setting {name} cannot be {said!r:.40}")
    _together(step)


def _together(step: Step) -> None:
    """What one setting says of another, or of the inputs."""
    said, inputs = step.settings, len(step.inputs)
    if step.op == "quantize" and said["low"] > said["high"]:
        raise ValueError(f"its grid from {said['low']} to {said['high']} is empty")
    if "by" in FORMS[step.op].optional and ("by" in said) == (inputs == 2):
        raise ValueError("it takes a second value or a number, one of them")
    if step.op == "clamp":
        bounds = [said[name] for name in ("low", "high") if said.get(name) is not None]
        if bool(bounds) == (inputs == 3) or sorted(bounds) != bounds:
            raise ValueError("it takes two more values or numbers in order as bounds, one of them")
    if "window" in said and any(2 * p > w for p, w in zip(said["padding"], said["window"], strict=True)):
        raise ValueError("it pads more than half of its window")
    if step.op == "layer_norm" and said["eps"] < 0:
        raise ValueError("its eps is negative")
    if step.op == "roll" and len(said["by"]) != len(said["axes"]):
        raise ValueError("it rolls other axes than it says")
