"""Marks on a plane: lines, bars, dots, histograms, hills, cells. Each says its value to whoever points at it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from stillbit.analysis.markup import Child, Markup, number, tag
from stillbit.analysis.svg.colour import Ramp, ink_on, ramp
from stillbit.analysis.svg.plane import LETTER, Plane, label

Points = Sequence[tuple[float, float]]
LONG = 150
"""A line of more points is drawn to a tenth of a pixel."""


def line(plane: Plane, points: Points, name: str, class_: str, *, dots: bool = False, joined: bool = True) -> Markup:
    """A line through the points, or the points alone; the page's script reads values off it."""
    if len(points) == 1:
        return dot(plane, points[0], name, class_)
    if not joined:
        # Strokes of no length have round ends: a tenth of the bytes of as many circles.
        spots = "".join(f"M{plane.across(x):.1f} {plane.along(y):.1f}h0" for x, y in points)
        unseen = tag("polyline", points=_places(plane, points), class_="line unseen", data_name=name)
        return tag("g", unseen, tag("path", d=spots, class_=f"line spots {class_}"))
    path = tag("polyline", points=_places(plane, points), class_=f"line {class_}", data_name=name)
    if not dots:
        return path
    circles = (tag("circle", cx=plane.across(x), cy=plane.along(y), r=2.5, class_=f"fill {class_}") for x, y in points)
    return tag("g", path, *circles)


def dot(plane: Plane, at: tuple[float, float], says: str, class_: str, *, radius: float = 4.5) -> Markup:
    """One point, named."""
    circle = tag("circle", tag("title", says), cx=plane.across(at[0]), cy=plane.along(at[1]), r=radius)
    return tag("g", circle, class_=f"fill {class_}")


def bar(plane: Plane, y: tuple[float, float], x: tuple[float, float], says: str, class_: str) -> Markup:
    """A lying bar over the band ``y[0]..y[1]``, from ``x[0]`` to ``x[1]``."""
    top, low = sorted((plane.along(y[0]), plane.along(y[1])))
    left, right = sorted((plane.across(x[0]), plane.across(x[1])))
    return _rect(left, top, right - left, low - top, says, class_)


def histogram(plane: Plane, edges: Sequence[float], counts: Sequence[float], says: str, class_: str) -> Markup:
    """Columns as one outline; ``says`` stands before what each of them holds."""
    ground = plane.along(plane.y.low)
    path = [f"M{number(plane.across(edges[0]))} {number(ground)}"]
    for count, end in zip(counts, edges[1:], strict=True):
        path.append(f"V{number(plane.along(max(count, plane.y.low)))}H{plane.across(end):.1f}")
    return tag("path", d="".join(path) + f"V{number(ground)}Z", class_=f"area {class_}", data_name=says)


def ridge(plane: Plane, base: float, tall: float, edges: Sequence[float], counts: Sequence[float], says: str) -> Markup:
    """A hill over the band at ``base``, ``tall`` pixels high where the counts are greatest."""
    most = max(counts, default=0.0) or 1.0
    ground = plane.along(base)
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    hill = [(edges[0], 0.0), *_without_plains(list(zip(middles, counts, strict=True))), (edges[-1], 0.0)]
    points = " ".join(f"{plane.across(x):.1f},{ground - tall * count / most:.1f}" for x, count in hill)
    return tag("polygon", tag("title", says), points=points, class_="ridge")


def _without_plains(points: list[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Without what lies between two of the same height, and has that height too."""
    for index, point in enumerate(points):
        around = points[max(index - 1, 0) : index + 2]
        if len(around) < 3 or any(other[1] != point[1] for other in around):
            yield point


class Cell(NamedTuple):
    """One of a row: which column, how far along the ramp, what it says, and the words on it."""

    column: int
    share: float
    says: str
    words: str = ""


def row_of_cells(plane: Plane, row: int, name: str, cells: Sequence[Cell], ramp_of: Ramp = "amount") -> Markup:
    """A row of a heat map; the name of the row is said before what each cell says."""
    top, low = sorted((plane.along(row - 0.5), plane.along(row + 0.5)))
    return tag("g", *(_cell(plane, one, top, low, ramp_of) for one in cells), data_row=name)


def _cell(plane: Plane, one: Cell, top: float, low: float, ramp_of: Ramp) -> Markup:
    left, right = plane.across(one.column - 0.5), plane.across(one.column + 0.5)
    colour = ramp(one.share, ramp_of)
    # A path is half as long as a rect, and a map has a thousand cells.
    path = f"M{left + 0.5:.1f} {top + 0.5:.1f}h{right - left - 1:.1f}v{low - top - 1:.1f}h{left - right + 1:.1f}z"
    says = tag("title", one.says)
    if not one.words or LETTER * len(one.words) > right - left - 4 or low - top < 14:
        return tag("path", says, d=path, fill=colour)
    x, y = (left + right) / 2, (top + low) / 2 + 4
    box = tag("path", d=path, fill=colour)
    return tag("g", says, box, tag("text", one.words, x=x, y=y, text_anchor="middle", class_=f"in {ink_on(colour)}"))


def rule(plane: Plane, *, x: float | None = None, y: float | None = None, words: str = "", class_: str = "") -> Markup:
    """A line across the box at a value, with a word above it or at its end."""
    right, low = plane.left + plane.width, plane.top + plane.height
    if x is not None:
        place = plane.across(x)
        path = tag("line", x1=place, x2=place, y1=plane.top, y2=low, class_=f"rule {class_}")
        beyond = place > plane.left + plane.width - LETTER * len(words) - 4
        side = label(place + 4 - 8 * beyond, plane.top - 4, words, anchor="end" if beyond else "start", class_="small")
        return tag("g", path, side if words else None)
    assert y is not None
    place = plane.along(y)
    path = tag("line", x1=plane.left, x2=right, y1=place, y2=place, class_=f"rule {class_}")
    return tag("g", path, label(right - 4, place - 4, words, anchor="end", class_="small") if words else None)


def scale(left: float, top: float, low: str, high: str, *, ramp_of: Ramp = "amount", wide: float = 160.0) -> Markup:
    """What the colours of a heat map mean."""
    count = 24
    boxes: list[Child] = [
        tag(
            "rect",
            x=left + wide * index / count,
            y=top,
            width=wide / count + 0.5,
            height=10.0,
            fill=ramp(index / (count - 1), ramp_of),
        )
        for index in range(count)
    ]
    ends = (label(left - 6, top + 9, low, anchor="end"), label(left + wide + 6, top + 9, high))
    return tag("g", *boxes, *ends, aria_hidden="true")


def names_beside(plane: Plane, points: Iterable[tuple[float, float, str]]) -> Markup:
    """Names next to dots, moved down where they would lie on one another."""
    taken: list[tuple[float, float, float]] = []
    parts: list[Child] = []
    for x, y, words in sorted(points, key=lambda one: plane.along(one[1])):
        place, high = plane.across(x), plane.along(y) + 4
        long = LETTER * len(words)
        left = place > plane.left + plane.width - long - 12
        begin = place - 9 - long if left else place + 9
        while any(abs(high - other) < 12 and begin < end and begin + long > start for start, end, other in taken):
            high += 12
        taken.append((begin, begin + long, high))
        parts.append(label(begin, high, words, class_="small"))
    return tag("g", *parts, aria_hidden="true")


def _rect(left: float, top: float, width: float, height: float, says: str, class_: str) -> Markup:
    return tag(
        "rect",
        tag("title", says),
        x=left,
        y=top,
        width=max(width, 0.5),
        height=max(height, 0.5),
        class_=f"fill {class_}",
    )


def _places(plane: Plane, points: Points) -> str:
    """To a hundredth of a pixel, where values are read off; to a tenth where there are too many to need it."""
    if len(points) > LONG:
        return " ".join(f"{plane.across(x):.1f},{plane.along(y):.1f}" for x, y in points)
    return " ".join(f"{number(plane.across(x))},{number(plane.along(y))}" for x, y in points)
