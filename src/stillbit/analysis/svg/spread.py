"""Marks for numbers that are known several times: whiskers from low to high, and bands along a line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from stillbit.analysis.markup import Markup, number, tag
from stillbit.analysis.svg.plane import Plane

CAP = 4.0
"""Half of the short stroke at an end, in pixels."""


def whisker(
    plane: Plane, at: float, reach: tuple[float, float], class_: str, *, along: Literal["x", "y"] = "y"
) -> Markup:
    """A stroke over ``reach`` of one axis, at a place of the other, with a short one across each end."""
    low, high = reach
    if along == "y":
        x, top, bottom = plane.across(at), plane.along(high), plane.along(low)
        ends = "".join(f"M{number(x - CAP)} {number(y)}h{number(2 * CAP)}" for y in (top, bottom))
        path = f"M{number(x)} {number(top)}V{number(bottom)}{ends}"
    else:
        y, left, right = plane.along(at), plane.across(low), plane.across(high)
        ends = "".join(f"M{number(x)} {number(y - CAP)}v{number(2 * CAP)}" for x in (left, right))
        path = f"M{number(left)} {number(y)}H{number(right)}{ends}"
    return tag("path", d=path, class_=f"line thin {_solid(class_)}")


def band(plane: Plane, points: Sequence[tuple[float, float, float]], class_: str) -> Markup:
    """The area between the low and the high of every place: x, low, high."""
    there = [(x, high) for x, _, high in points]
    back = [(x, low) for x, low, _ in reversed(points)]
    around = " ".join(f"{plane.across(x):.1f},{plane.along(y):.1f}" for x, y in (*there, *back))
    return tag("polygon", points=around, class_=f"area band {_solid(class_)}")


def _solid(class_: str) -> str:
    """Dashes are for lines."""
    return class_.partition(" ")[0]
