"""Axes: from a value to a share of the way, and the ticks that a reader expects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Tick = tuple[float, str]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """What lies between ``low`` and ``high``; `at` says how far along a value is, from 0 to 1."""

    low: float
    high: float
    label: str = ""
    ticks: tuple[Tick, ...] = ()
    form: Literal["linear", "log", "bands"] = "linear"

    def at(self, value: float) -> float:
        """The share of the way; values outside stay outside."""
        low, high, here = (self._shown(one) for one in (self.low, self.high, value))
        return (here - low) / (high - low)

    def _shown(self, value: float) -> float:
        return math.log10(value) if self.form == "log" else value


def linear(
    values: Iterable[float],
    label: str = "",
    *,
    zero: bool = False,
    count: int = 5,
    tight: bool = False,
    whole: bool = False,
) -> Axis:
    """An axis that holds ``values`` and ends on ticks (``tight``: on the values).

    ``zero`` is on it if so wished; where values are ``whole`` numbers, ticks are.
    """
    low, high = _reach([*values, *([0.0] if zero else [])])
    step = nice_step((high - low) / max(count, 1))
    step = max(step, 1.0) if whole else step
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if tight:
        begin, end = low, high
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    else:
        begin, end = first * step, last * step
    ticks = tuple((index * step, written(index * step, step)) for index in range(first, last + 1))
    return Axis(low=begin, high=end, label=label, ticks=ticks)


def logarithmic(values: Iterable[float], label: str = "") -> Axis:
    """Powers of ten, with 2 and 5 between them where there are few; only values above zero have a place."""
    above = [value for value in values if value > 0] or [1.0]
    low, high = min(above), max(above)
    wide = math.log10(high / low) > 2.5
    marks = (1,) if wide else (1, 2, 5)
    exponents = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 2)
    grid = [mark * 10.0**exponent for exponent in exponents for mark in marks]
    begin = max(value for value in grid if value <= low * (1 + 1e-9))
    end = min(value for value in grid if value >= high * (1 - 1e-9) and value > begin)
    inside = [value for value in grid if begin <= value <= end]
    keep = inside[:: max(1, len(inside) // 7)]
    return Axis(low=begin, high=end, label=label, ticks=tuple((v, short(v)) for v in keep), form="log")


def bands(names: Sequence[str], label: str = "", *, room: int = 60) -> Axis:
    """A place for each name, half a unit around its index; of more than ``room`` names some are not written."""
    every = max(1, math.ceil(len(names) / room))
    ticks = tuple((float(index), name) for index, name in enumerate(names) if index % every == 0)
    return Axis(low=-0.5, high=max(len(names), 1) - 0.5, label=label, ticks=ticks, form="bands")


def nice_step(least: float) -> float:
    """The next of 1, 2, 5 and their multiples by ten."""
    if not least > 0:
        return 1.0
    ten = 10.0 ** math.floor(math.log10(least))
    return next(mark * ten for mark in (1, 2, 5, 10) if mark * ten >= least * (1 - 1e-9))


def written(value: float, step: float) -> str:
    """A tick as a word, with as many digits as ticks differ in."""
    if value == 0:
        return "0"
    if abs(step) >= 1e4 or step < 1e-4:
        return short(value)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:,.{digits}f}"


def short(value: float) -> str:
    """A number as a label has room for it: 1.2 M, 30 k, 0.005, 2e-7."""
    for size, name in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.4g}{name}"
    return f"{value:.4g}" if value == 0 or abs(value) >= 1e-3 else f"{value:.3g}".replace("e-0", "e-")


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest, apart even where all are equal."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-12 * max(abs(low), abs(high), 1e-300):
        apart = abs(low) / 10 or 1.0
        low, high = low - apart, high + apart
    return low, high
