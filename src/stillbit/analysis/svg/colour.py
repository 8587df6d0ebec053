"""Colours that the colour-blind tell apart: classes for things, which follow the theme, and ramps for numbers."""

from __future__ import annotations

from typing import Literal

Ramp = Literal["amount", "change"]
SERIES = 8
"""So many things have a colour of their own: Okabe and Ito's eight, in page/figure.css."""
# Light is little and dark is much: lightness alone carries the number, so that a grey print keeps it.
_AMOUNT = ("#f3f6fa", "#cfe0ee", "#9fc6df", "#63a5cb", "#2f7fb2", "#155a93", "#0b3868", "#071f41")
# Blue is below zero and orange above, with the same lightness on both sides.
_CHANGE = ("#08447e", "#3c7fb8", "#8fb9dc", "#dfe9f2", "#f6f3ef", "#f3ddc4", "#e3a866", "#bf6f1d", "#8a4400")


def series(index: int) -> str:
    """The class of the index-th thing; after eight they begin anew, dashed where they are lines."""
    return f"s{index % SERIES}" + (" again" if index // SERIES % 2 else "")


def ramp(share: float, kind: Ramp = "amount") -> str:
    """The colour of a number from 0 to 1 (for a change, 0.5 is none)."""
    stops = _AMOUNT if kind == "amount" else _CHANGE
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    index = min(int(place), len(stops) - 2)
    part = place - index
    mixed = (a + (b - a) * part for a, b in zip(_rgb(stops[index]), _rgb(stops[index + 1]), strict=True))
    return "#" + "".join(f"{int(channel + 0.5):02x}" for channel in mixed)


def ink_on(colour: str) -> str:
    """The class of words on a colour: deep (black) or pale (white), whichever is read better."""
    return "deep" if contrast(colour, "#000000") >= contrast(colour, "#ffffff") else "pale"


def luminance(colour: str) -> float:
    """How light a colour is, as WCAG 2 has it."""
    red, green, blue = (_linear(channel / 255) for channel in _rgb(colour))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white); text needs 4.5."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
