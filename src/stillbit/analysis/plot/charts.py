"""The usual pictures, whole: lines, lying bars, heat maps, dots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from stillbit.analysis.markup import Child, Markup
from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import Axis, bands, linear, logarithmic
from stillbit.analysis.svg.colour import Ramp, series
from stillbit.analysis.svg.plane import LETTER, RIGHT, WIDTH, Plane, cut, legend, picture

NAME = 30
"""Letters of a name beside a bar; the middle of a longer one is left out."""


class Series(NamedTuple):
    """A line and its name."""

    name: str
    points: Sequence[tuple[float, float]]
    class_: str = ""
    """Its colour; empty for that of its place."""


class Part(NamedTuple):
    """A stretch of a bar: how long, what it says, its class."""

    value: float
    says: str
    class_: str = "s0"


class Bar(NamedTuple):
    """A name and what is stacked behind it."""

    name: str
    parts: tuple[Part, ...]


class Dot(NamedTuple):
    """A point with a name; ``says`` is what pointing at it tells."""

    x: float
    y: float
    name: str
    says: str
    class_: str = "s0"


@dataclass(frozen=True, kw_only=True)
class Words:
    """What stands around a picture: its title, a description, and what the axes are."""

    title: str
    about: str
    x: str = ""
    y: str = ""
    log_x: bool = False
    log_y: bool = False
    zero: bool = False
    whole_x: bool = False
    """Such as steps and layers."""


def lines(
    said: Words,
    given: Sequence[Series],
    *,
    rules: Sequence[tuple[float, str]] = (),
    dots: bool = False,
    joined: bool = True,
) -> Markup:
    """One plane, a line a series; ``rules`` are heights with a name. A sample is not ``joined``: it has gaps."""
    held = [one for one in given if one.points]
    colours = [one.class_ or series(index) for index, one in enumerate(held)]
    names = [(one.name, colour) for one, colour in zip(held, colours, strict=True)]
    head, top = legend(names, 16, 16) if len(held) > 1 else (None, 0.0)
    xs = [x for one in held for x, _ in one.points]
    ys = [y for one in held for _, y in one.points] + [height for height, _ in rules]
    plane = Plane(
        x=linear(xs, said.x, tight=True, count=8, whole=said.whole_x),
        y=_axis(ys, said.y, log=said.log_y, zero=said.zero),
        top=top + 28,
    )
    drawn = [
        marks.line(plane, one.points, one.name, colour, dots=dots, joined=joined)
        for one, colour in zip(held, colours, strict=True)
    ]
    across = [marks.rule(plane, y=height, words=words) for height, words in rules]
    return picture(
        said.title, said.about, plane.bottom, head, plane.axes(), *across, plane.group(*drawn, readable=True)
    )


def bars(
    said: Words,
    given: Sequence[Bar],
    *,
    classes: Sequence[tuple[str, str]] = (),
    rules: Sequence[tuple[float, str]] = (),
) -> Markup:
    """A lying bar a name, from zero; ``classes`` are the legend, ``rules`` are values with a name.

    On a logarithmic axis nothing can be stacked: there a bar has one part.
    """
    head, top = legend(list(classes), 16, 16) if classes else (None, 0.0)
    names = [cut(one.name, NAME) for one in given]
    left = 18 + LETTER * max((len(name) for name in names), default=1)
    ends = [sum(part.value for part in one.parts) for one in given] + [value for value, _ in rules]
    # A logarithmic axis has no zero: it begins well below the shortest bar, or that one could not be seen.
    log = said.log_x and all(end > 0 for end in ends)
    x = logarithmic([min(ends) / 4, *ends], said.x) if log else linear(ends, said.x, zero=True)
    plane = Plane(
        x=x,
        y=bands(names),
        left=left,
        top=top + (22 if any(words for _, words in rules) else 10),
        width=WIDTH - left - RIGHT,
        height=18.0 * len(given),
        down=True,
    )
    drawn: list[Child] = []
    for index, one in enumerate(given):
        begin = x.low if log else 0.0
        for part in one.parts:
            reach = (begin, part.value if log else begin + part.value)
            drawn.append(marks.bar(plane, (index - 0.36, index + 0.36), reach, part.says, part.class_))
            begin += part.value
    across = [marks.rule(plane, x=value, words=words) for value, words in rules]
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), plane.group(*drawn), *across)


class Heat(NamedTuple):
    """What a heat map shows: a value or nothing for each row and column."""

    rows: Sequence[str]
    columns: Sequence[str]
    values: Sequence[Sequence[float | None]]


def heat(said: Words, held: Heat, *, ramp: Ramp = "amount", unit: str = "", worded: bool = True) -> Markup:
    """A coloured cell a value, dark where there is much; a change has its zero in the middle of the ramp.

    Without ``worded`` cells are small and carry no numbers: for maps of hundreds.
    """
    names = [cut(row, NAME) for row in held.rows]
    left = 18 + LETTER * max((len(name) for name in names), default=1)
    known = [value for row in held.values for value in row if value is not None]
    low, high = _span(known, ramp, said.zero)
    tall = 22.0 if worded else 15.0
    width = min(WIDTH - left - RIGHT, 78.0 * max(len(held.columns), 1))
    plane = Plane(
        x=bands([cut(one, 12) for one in held.columns], said.x, room=max(1, int(width / (LETTER * 5)))),
        y=bands(names, said.y),
        left=left,
        top=34.0,
        width=width,
        height=tall * len(held.rows),
        down=True,
    )
    cells = [
        marks.row_of_cells(plane, row, held.rows[row], _cells(held.columns, values, (low, high), unit, worded), ramp)
        for row, values in enumerate(held.values)
    ]
    wide = 140.0
    key = marks.scale(WIDTH - wide - 90, 10, f"{low:.3g}{unit}", f"{high:.3g}{unit}", ramp_of=ramp, wide=wide)
    return picture(said.title, said.about, plane.bottom, key, plane.axes(), plane.group(*cells))


def scatter(
    said: Words,
    given: Sequence[Dot],
    *,
    classes: Sequence[tuple[str, str]] = (),
    named: bool = True,
    even: bool = False,
) -> Markup:
    """A dot a point; ``even`` gives both axes the same reach and draws where both are equal."""
    head, top = legend(list(classes), 16, 16) if classes else (None, 0.0)
    xs, ys = [one.x for one in given], [one.y for one in given]
    if even:
        xs = ys = [*xs, *ys]
    x = _axis(_wider(xs, log=said.log_x), said.x, log=said.log_x, zero=even)
    y = _axis(_wider(ys, log=said.log_y), said.y, log=said.log_y, zero=even or said.zero)
    plane = Plane(x=x, y=y, top=top + 28, height=300.0)
    drawn = [marks.dot(plane, (one.x, one.y), one.says, one.class_) for one in given]
    words = marks.names_beside(plane, ((one.x, one.y, cut(one.name, NAME)) for one in given)) if named else None
    same = marks.line(plane, ((x.low, x.low), (x.high, x.high)), "equal", "s6 again") if even else None
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), same, plane.group(*drawn), words)


def _cells(
    columns: Sequence[str], values: Sequence[float | None], span: tuple[float, float], unit: str, worded: bool
) -> list[marks.Cell]:
    """The cells of a row; there is none for what is not known."""
    low, high = span
    return [
        marks.Cell(
            column,
            0.5 if high <= low else (value - low) / (high - low),
            f"{columns[column]}: {value:.4g}{unit}",
            f"{value:.3g}" if worded else "",
        )
        for column, value in enumerate(values)
        if value is not None
    ]


def _wider(values: Sequence[float], *, log: bool) -> list[float]:
    """The values, and two beyond them, so that no dot lies on the frame; what is not negative stays so."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    if log and low > 0:
        factor = max((high / low) ** 0.04, 1.02)
        return [low / factor, *values, high * factor]
    apart = 0.04 * (high - low) or 0.02 * abs(high)
    return [max(low - apart, 0.0) if low >= 0 else low - apart, *values, high + apart]


def _axis(values: Sequence[float], label: str, *, log: bool = False, zero: bool = False) -> Axis:
    if log and all(value > 0 for value in values):
        return logarithmic(values, label)
    return linear(values, label, zero=zero)


def _span(known: Sequence[float], ramp: Ramp, zero: bool) -> tuple[float, float]:
    if ramp == "change":
        most = max((abs(value) for value in known if math.isfinite(value)), default=1.0)
        return -most, most
    return min([0.0, *known] if zero else known, default=0.0), max(known, default=1.0)
