"""Pictures of numbers that were measured with several seeds: with error bars, and with bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stillbit.analysis.markup import Child, Markup
from stillbit.analysis.plot.charts import NAME, Words
from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import Axis, bands, linear, logarithmic
from stillbit.analysis.svg.plane import LETTER, RIGHT, WIDTH, Plane, cut, legend, picture
from stillbit.analysis.svg.spread import band, whisker
from stillbit.study.paired import Sample

APART = 0.12
"""Of the distance between two names of an axis: how far what belongs to one name is from its neighbour."""
WIDEST = 0.6
"""The same, for all that belongs to one name together."""
ROW = 20.0
ABOVE = 10.0
"""Pixels between a whisker and the name of its dot."""


class Level(NamedTuple):
    """A line over named places; None where nothing is known."""

    name: str
    values: Sequence[Sample | None]
    class_: str


class Spot(NamedTuple):
    """A dot with error bars to both sides."""

    name: str
    """Written beside it; may be empty."""
    x: Sample
    y: Sample
    says: str
    class_: str


class Course(NamedTuple):
    """A line with the lowest and the highest beside it: x, mean, low, high."""

    name: str
    points: Sequence[tuple[float, float, float, float]]
    class_: str


def levels(said: Words, places: Sequence[str], given: Sequence[Level], rules: Sequence[tuple[float, str]]) -> Markup:
    """A line a name over places such as bit-widths, each point with the standard deviation of a seed."""
    held = [one for one in given if any(value is not None for value in one.values)]
    head, top = legend([(one.name, one.class_) for one in held], 16, 16)
    reach = [edge for one in held for value in one.values if value for edge in _reach(value)]
    y = linear([*reach, *(height for height, _ in rules)], said.y)
    plane = Plane(x=bands(list(places), said.x), y=y, top=top + 28, height=300.0)
    drawn: list[Child] = []
    for index, one in enumerate(held):
        aside = _aside(index, len(held))
        points = [(place + aside, value) for place, value in enumerate(one.values) if value]
        drawn += [whisker(plane, x, _reach(value), one.class_) for x, value in points if value.spread is not None]
        if len(points) > 1:
            drawn.append(marks.line(plane, [(x, value.mean) for x, value in points], one.name, one.class_))
        drawn += [
            marks.dot(
                plane, (x, value.mean), f"{one.name}, {places[int(x + 0.5)]}: {told(value)}", one.class_, radius=3.5
            )
            for x, value in points
        ]
    across = [marks.rule(plane, y=height, words=words) for height, words in rules]
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), *across, plane.group(*drawn))


def ladder(said: Words, names: Sequence[str], given: Sequence[Level]) -> Markup:
    """A lying line a name, with a dot and its error bar for each level: one below the other, from zero."""
    head, top = legend([(one.name, one.class_) for one in given], 16, 16)
    words = [cut(name, NAME) for name in names]
    left = 18 + LETTER * max((len(name) for name in words), default=1)
    ends = [_reach(value)[1] for one in given for value in one.values if value]
    tall = max(ROW, 9.0 * len(given))
    plane = Plane(
        x=linear(ends, said.x, zero=True),
        y=bands(words),
        left=left,
        top=top + 10,
        width=WIDTH - left - RIGHT,
        height=tall * len(names),
        down=True,
    )
    drawn: list[Child] = []
    for index, one in enumerate(given):
        aside = _aside(index, len(given), WIDEST / 2)
        for place, value in enumerate(one.values):
            if value is None:
                continue
            low, high = _reach(value)
            drawn.append(whisker(plane, place + aside, (max(low, 0.0), high), one.class_, along="x"))
            says = f"{names[place]}, {one.name}: {told(value)}"
            drawn.append(marks.dot(plane, (value.mean, place + aside), says, one.class_, radius=3.5))
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), plane.group(*drawn))


def spots(said: Words, given: Sequence[Spot], classes: Sequence[tuple[str, str]], front: Sequence[Spot] = ()) -> Markup:
    """A dot a thing with its error bars; ``front`` are joined by a line: none is better on both axes."""
    head, top = legend(list(classes), 16, 16)
    x = _axis([edge for one in given for edge in _reach(one.x)], said.x, log=said.log_x)
    y = _axis([edge for one in given for edge in _reach(one.y)], said.y, log=False)
    plane = Plane(x=x, y=y, top=top + 28, height=300.0)
    drawn: list[Child] = []
    if len(front) > 1:
        drawn.append(marks.line(plane, [(one.x.mean, one.y.mean) for one in front], "front", "s6 thin again"))
    for one in given:
        if one.y.spread is not None:
            drawn.append(whisker(plane, one.x.mean, _reach(one.y), one.class_))
        if one.x.spread:
            low, high = _reach(one.x)
            drawn.append(whisker(plane, one.y.mean, (max(low, x.low), high), one.class_, along="x"))
        drawn.append(marks.dot(plane, (one.x.mean, one.y.mean), one.says, one.class_))
    higher = ABOVE * (y.high - y.low) / plane.height  # or the whisker would go through the words
    words = marks.names_beside(plane, ((one.x.mean, one.y.mean + higher, one.name) for one in given if one.name))
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), plane.group(*drawn), words)


def courses(said: Words, given: Sequence[Course]) -> Markup:
    """A line a name over time, with a band from the lowest seed to the highest."""
    head, top = legend([(one.name, one.class_) for one in given], 16, 16)
    every = [point for one in given for point in one.points]
    plane = Plane(
        x=linear([point[0] for point in every], said.x, tight=True, count=8, whole=said.whole_x),
        y=linear([edge for point in every for edge in point[2:]], said.y),
        top=top + 28,
        height=280.0,
    )
    areas = [band(plane, [(x, low, high) for x, _, low, high in one.points], one.class_) for one in given]
    drawn = [marks.line(plane, [point[:2] for point in one.points], one.name, one.class_) for one in given]
    readable = plane.group(*drawn, readable=True)
    return picture(said.title, said.about, plane.bottom, head, plane.axes(), *areas, readable)


def told(value: Sample) -> str:
    """A mean with its spread, as pointing at it says it."""
    spread = "" if value.spread is None else f" ± {value.spread:.3g}"
    return f"{value.mean:.4g}{spread} ({value.seeds} seed{'s' * (value.seeds > 1)})"


def _aside(index: int, count: int, apart: float = APART) -> float:
    """How far the index-th of so many is from the place that they share."""
    return min(apart, WIDEST / max(count - 1, 1)) * (index - (count - 1) / 2)


def _reach(value: Sample) -> tuple[float, float]:
    spread = value.spread or 0.0
    return value.mean - spread, value.mean + spread


def _axis(values: Sequence[float], label: str, *, log: bool) -> Axis:
    """With some room at both ends."""
    low, high = min(values), max(values)
    if log and low > 0:
        return logarithmic([low / 1.15, high * 1.15], label)
    apart = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return linear([low - apart, *values, high + apart], label)
