"""What the constants of a program hold: codes on their grids, scales above zero, indices that point somewhere.

Indices that are given when a program runs are held to the tables then (`stillbit.deploy.inputs`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from stillbit.deploy.program import MOVES, Constant, Dims, Program, Step


@dataclass(frozen=True)
class Span:
    """The least and the largest number of a constant, or of what was moved out of constants."""

    low: float
    high: float
    whole: bool
    """Whether every number is an integer."""
    given: bool = False
    """Whether some of it comes from an input, and is looked at when it is there."""


def check_constant(name: str, held: Constant) -> Span:
    """Whether a constant can be one; what it spans."""
    array = held.array
    if not array.size:
        raise ValueError(f"constant {name} is empty")
    low, high = array.min(), array.max()
    if held.grid is not None and not held.grid.low <= low <= high <= held.grid.high:
        raise ValueError(f"constant {name} has codes outside of {held.grid.low} to {held.grid.high}")
    if array.dtype.kind == "f" and bool(np.isnan(low)):
        raise ValueError(f"constant {name} has a NaN in it")
    finite = math.isfinite(low) and math.isfinite(high)
    whole = array.dtype.kind != "f" or (finite and bool((np.trunc(array) == array).all()))
    return Span(float(low), float(high), whole)


def check_step(step: Step, spans: dict[str, Span], shapes: dict[str, Dims]) -> None:
    """Whether a step may take the numbers of the constants that it takes; remembers what moving makes of them."""
    moved = step.inputs
    if step.op == "quantize":
        _quantize(step, spans)
    elif step.op == "where" and step.inputs[0] in spans:
        span = spans[step.inputs[0]]
        if span.given or not 0 <= span.low <= span.high <= 1:
            raise ValueError(f"its choices are not 0 and 1, but go from {span.low:g} to {span.high:g}")
    elif step.op == "gather":
        _gather(step, spans, shapes[step.inputs[0]][step.settings["axis"]])
        moved = moved[:1]
    elif step.op == "index":
        spans[step.output] = Span(0, step.settings["size"] - 1, whole=True, given=True)
    if step.op in MOVES and all(name in spans for name in moved):
        ends = [*(spans[name] for name in moved), *_padded(step)]
        span = Span(min(s.low for s in ends), max(s.high for s in ends), all(s.whole for s in ends))
        spans[step.output] = replace(span, given=any(s.given for s in ends))


def _gather(step: Step, spans: dict[str, Span], size: int) -> None:
    index = spans[step.inputs[1]]
    if not 0 <= index.low <= index.high < size:
        raise ValueError(f"its indices go from {index.low:.0f} to {index.high:.0f}, and there are {size}")


def _padded(step: Step) -> list[Span]:
    value = float(step.settings.get("value", 0.0))
    return [Span(value, value, value.is_integer())] if step.op == "pad" else []


def _quantize(step: Step, spans: dict[str, Span]) -> None:
    scales, bounds = step.inputs[1:2], step.inputs[2:]
    if not all(name in spans and not spans[name].given for name in (*scales, *bounds)):
        raise ValueError("its scale or a bound is not constant")
    for name in scales:
        if not 0 < spans[name].low <= spans[name].high < math.inf:
            raise ValueError(f"its scale {name} is not above zero and finite everywhere")
    for name in bounds:
        span = spans[name]
        if not span.whole or not step.settings["low"] <= span.low <= span.high <= step.settings["high"]:
            raise ValueError(f"its bound {name} is not made of codes of its grid")


def spans_of(program: Program) -> dict[str, Span]:
    """Of every constant, and of the indices that are given, which may be any then."""
    spans = {name: check_constant(name, held) for name, held in program.constants.items()}
    given = Span(0, 0, whole=True, given=True)
    return spans | {each.name: given for each in program.inputs if each.kind == "indices"}
