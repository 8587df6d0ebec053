"""A height over a grid of points: filled contours, and a surface seen from above and aside."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from stillbit.analysis.markup import Child, Markup, number, tag
from stillbit.analysis.svg.colour import ramp
from stillbit.analysis.svg.plane import Plane

Heights = Sequence[Sequence[float]]
Place = tuple[float, float]
Corner = tuple[int, int]
"""A point of the grid, by row and column."""
Edge = tuple[Corner, Corner]
SQUARES = 30
"""Of a surface, along one side; of a finer grid some points are left out."""


def levels(low: float, high: float, count: int = 12) -> tuple[float, ...]:
    """Heights between the lowest and the highest point, as far apart from each other."""
    return tuple(low + (high - low) * (index + 1) / (count + 1) for index in range(count))


def contours(plane: Plane, xs: Sequence[float], ys: Sequence[float], heights: Heights, at: Sequence[float]) -> Markup:
    """Areas from dark (low) to light, with lines at each of the heights ``at``; ``heights[row][column]`` is over y, x.

    What lies above a height is painted over what lies below. Between the points the surface is linear on triangles.
    """
    low, high = min(map(min, heights)), max(map(max, heights))
    ends = [low, *at, high]
    parts: list[Child] = [
        tag("rect", x=plane.left, y=plane.top, width=plane.width, height=plane.height, fill=_colour(ends, 0))
    ]
    for index, level in enumerate(at, 1):
        rings = ("M" + "L".join(_words(plane, place) for place in ring) + "Z" for ring in above(xs, ys, heights, level))
        parts.append(tag("path", d="".join(rings), fill=_colour(ends, index), fill_rule="evenodd", class_="contour"))
    return tag("g", *parts)


def above(xs: Sequence[float], ys: Sequence[float], heights: Heights, level: float) -> list[list[Place]]:
    """The rings around all that is above a height; where the grid ends, they follow its border."""
    rows, columns = len(ys), len(xs)

    def height(corner: Corner) -> float:
        row, column = corner
        return heights[row][column] if 0 <= row < rows and 0 <= column < columns else -math.inf

    def place(edge: Edge) -> Place:
        (high, low) = edge if height(edge[0]) > height(edge[1]) else (edge[1], edge[0])
        x, y = xs[high[1]], ys[high[0]]
        if height(low) == -math.inf:
            return x, y
        part = (height(high) - level) / (height(high) - height(low))
        return x + (xs[low[1]] - x) * part, y + (ys[low[0]] - y) * part

    next_to: dict[Edge, list[Edge]] = {}
    for triangle in _triangles(rows, columns):
        crossed = [edge for edge in _edges(triangle) if (height(edge[0]) > level) != (height(edge[1]) > level)]
        if crossed:
            one, other = crossed
            next_to.setdefault(one, []).append(other)
            next_to.setdefault(other, []).append(one)
    return [[place(edge) for edge in ring] for ring in _rings(next_to)]


def surface(box: tuple[float, float, float, float], heights: Heights, between: tuple[float, float]) -> Markup:
    """The heights as a mesh, turned by 45 degrees, the farthest squares first; ``between`` is what the colours span."""
    left, top, width, height = box
    rows, columns = _some(len(heights)), _some(len(heights[0]))
    tall = 0.9

    def place(row: int, column: int) -> Place:
        u, v = columns[column] / columns[-1], rows[row] / rows[-1]
        up = _share(heights[rows[row]][columns[column]], *between)
        across, deep = (u - v + 1) / 2, (u + v) / 2
        return left + width * across, top + height * (tall * 0.5 + (1 - tall * 0.5) * deep - tall * 0.5 * up)

    squares = ((row, column) for row in range(len(rows) - 1) for column in range(len(columns) - 1))
    parts: list[Child] = []
    for row, column in sorted(squares, key=sum):
        ring = ((row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column))
        mean = sum(heights[rows[r]][columns[c]] for r, c in ring) / 4
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(r, c) for r, c in ring))
        parts.append(tag("path", d=f"M{path}Z", fill=ramp(1 - _share(mean, *between))))
    return tag("g", *parts, class_="mesh")


def _triangles(rows: int, columns: int) -> Iterator[tuple[Corner, Corner, Corner]]:
    """Two a square of the grid, and around the grid a border of one square, so that every ring closes."""
    for row in range(-1, rows):
        for column in range(-1, columns):
            a, b, c, d = (row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)
            yield a, b, c
            yield a, c, d


def _edges(triangle: tuple[Corner, Corner, Corner]) -> Iterator[Edge]:
    a, b, c = triangle
    for one, other in ((a, b), (b, c), (a, c)):
        yield (one, other) if one < other else (other, one)


def _rings(next_to: dict[Edge, list[Edge]]) -> Iterator[list[Edge]]:
    """Each edge has two neighbours: walk until the walk comes home."""
    left = dict(next_to)
    while left:
        edge = next(iter(left))
        ring: list[Edge] = []
        while edge in left:
            ring.append(edge)
            one, other = left.pop(edge)
            edge = one if one in left else other
        yield ring


def _some(count: int) -> list[int]:
    """Indices from the first to the last, of which no more than `SQUARES` steps apart."""
    every = -(-(count - 1) // SQUARES)
    return [*range(0, count - 1, every), count - 1]


def _words(plane: Plane, place: Place) -> str:
    return f"{number(plane.across(place[0]))} {number(plane.along(place[1]))}"


def _colour(ends: Sequence[float], index: int) -> str:
    middle = (ends[index] + ends[index + 1]) / 2
    return ramp(1 - _share(middle, ends[0], ends[-1]))


def _share(height: float, low: float, high: float) -> float:
    return 0.0 if high <= low else min(max((height - low) / (high - low), 0.0), 1.0)
