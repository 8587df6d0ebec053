"""Crops as fractions of an image: four numbers of 16 bits that give the same pixels back.

A fraction is rounded by at most 1/131070 of a side, so the edges of a crop come back exactly for images of less than
32768 pixels a side. FKD's boxes (arXiv 2112.01528) are the same four fractions, as floats.
"""

from __future__ import annotations

from typing import TypeVar

from jaxtyping import Int, UInt16
from numpy import ndarray

from stillbit.data.crops import Crop
from stillbit.distill.layout import FLIP, UPSIDE_DOWN

ONE = 65535
"""The whole side."""
LONGEST = 32767
"""Pixels of a side up to which every crop comes back exactly."""

N = TypeVar("N", int, Int[ndarray, "..."])
Box = tuple[int, int, int, int]
"""Top, left, height and width, in 65535ths of the image's height and width."""


def box_of(crop: Crop, height: int, width: int) -> Box:
    """The box of a crop of an image of this size."""
    check_size(height, width)
    top, bottom = (nearest(edge * ONE, height) for edge in (crop.top, crop.top + crop.height))
    left, right = (nearest(edge * ONE, width) for edge in (crop.left, crop.left + crop.width))
    return top, left, bottom - top, right - left


def crop_of(box: Box | UInt16[ndarray, " parts"], flags: int, height: int, width: int) -> Crop:
    """The pixels that a box means in an image of this size; the four edges are rounded, half to even."""
    top, left, tall, wide = (int(part) for part in box)
    up, down = nearest(top * height, ONE), nearest((top + tall) * height, ONE)
    first, last = nearest(left * width, ONE), nearest((left + wide) * width, ONE)
    # In an image that is smaller than the one it was drawn for, a box still has a pixel.
    up, first = min(up, height - 1), min(first, width - 1)
    return Crop(up, first, max(down - up, 1), max(last - first, 1), bool(flags & FLIP), bool(flags & UPSIDE_DOWN))


def check_size(height: int, width: int) -> None:
    """Whether every crop of such an image comes back exactly."""
    if max(height, width) > LONGEST:
        raise ValueError(
            f"an image of {height} x {width} pixels is too large for stored crops: at most {LONGEST} a side"
        )


def flags_of(crop: Crop) -> int:
    """How the crop is turned."""
    return FLIP * crop.flip | UPSIDE_DOWN * crop.upside_down


def nearest(top: N, bottom: N) -> N:
    """The whole number nearest to a fraction of two positive integers (or arrays of them), half to even."""
    whole, rest = divmod(top, bottom)
    found: N = whole + ((2 * rest > bottom) | ((2 * rest == bottom) & (whole % 2 == 1)))
    return found
