"""A plane: two axes in a box, and the picture around it."""

from __future__ import annotations

from dataclasses import dataclass

from stillbit.analysis.markup import Child, Markup, number, tag
from stillbit.analysis.svg.axis import Axis

WIDTH = 680.0
"""Of a picture, in units of which 12 are a line of text."""
LETTER = 6.7
"""How wide a letter of a label is, about."""
RIGHT = 24.0
"""Room for half of the last tick."""


@dataclass(frozen=True, kw_only=True)
class Plane:
    """Where values are in a picture. The box starts at ``left, top``; y grows upwards unless ``down``."""

    x: Axis
    y: Axis
    left: float = 58.0
    top: float = 20.0
    width: float = WIDTH - 58.0 - RIGHT
    height: float = 240.0
    down: bool = False
    title: str = ""

    def across(self, value: float) -> float:
        """Where a value of x is."""
        return self.left + self.width * self.x.at(value)

    def along(self, value: float) -> float:
        """Where a value of y is."""
        share = self.y.at(value)
        return self.top + self.height * (share if self.down else 1 - share)

    @property
    def bottom(self) -> float:
        """Below the box, ticks and label."""
        return self.top + self.height + (40 if self.x.label else 24)

    def axes(self, *, lines: bool = True) -> Markup:
        """Ticks, their words, the labels, and lines across the box for numbers."""
        right, low = self.left + self.width, self.top + self.height
        parts: list[Child] = []
        for value, word in self.x.ticks:
            place = self.across(value)
            if lines and self.x.form != "bands":
                parts.append(tag("line", x1=place, x2=place, y1=self.top, y2=low, class_="grid"))
            parts.append(label(place, low + 16, word, anchor="middle"))
        for value, word in self.y.ticks:
            place = self.along(value)
            if lines and self.y.form != "bands":
                parts.append(tag("line", x1=self.left, x2=right, y1=place, y2=place, class_="grid"))
            parts.append(label(self.left - 8, place + 4, word, anchor="end"))
        parts.append(tag("line", x1=self.left, x2=right, y1=low, y2=low, class_="axis"))
        if self.x.label:
            parts.append(label(self.left + self.width / 2, low + 35, self.x.label, anchor="middle", class_="name"))
        if self.y.label:
            parts.append(label(self.left - 50, self.top - 13, self.y.label, class_="name"))
        if self.title:
            parts.append(label(self.left, self.top - 13, self.title, class_="head"))
        return tag("g", *parts, aria_hidden="true")

    def group(self, *marks: Child, readable: bool = False) -> Markup:
        """Marks; ``readable`` ones tell the page's script how to go back from places to values."""
        if not readable:
            return tag("g", *marks)
        return tag(
            "g",
            *marks,
            class_="read",
            data_box=" ".join(number(one) for one in (self.left, self.top, self.width, self.height)),
            data_x=_spoken(self.x),
            data_y=_spoken(self.y),
        )


def label(x: float, y: float, words: str, *, anchor: str = "start", class_: str | None = None) -> Markup:
    """Words at a place: they start there, are around it, or end there."""
    return tag("text", words, x=x, y=y, text_anchor=None if anchor == "start" else anchor, class_=class_)


def picture(title: str, about: str, height: float, *parts: Child, width: float = WIDTH) -> Markup:
    """The whole picture, with a name and a description for those who do not see it."""
    return tag(
        "svg",
        tag("title", title),
        tag("desc", about),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        role="img",
        aria_label=f"{title}. {about}",
    )


def legend(names: list[tuple[str, str]], left: float, top: float, *, width: float = WIDTH) -> tuple[Markup, float]:
    """Names with the swatch of their class, in lines that fit; and where the next thing may begin."""
    parts: list[Child] = []
    x, y = left, top
    for words, class_ in names:
        long = 18 + LETTER * len(words) + 18
        if x + long > width and x > left:
            x, y = left, y + 18
        parts.append(tag("rect", x=x, y=y - 9, width=11.0, height=11.0, rx=2.0, class_=f"fill {class_}"))
        parts.append(label(x + 16, y, words))
        x += long
    return tag("g", *parts, class_="legend", aria_hidden="true"), y + 18


def cut(words: str, room: int) -> str:
    """Words that fit, the middle left out: both ends tell names apart."""
    if len(words) <= room:
        return words
    keep = room - 1
    return f"{words[: keep - keep // 2]}…{words[len(words) - keep // 2 :]}"


def _spoken(axis: Axis) -> str:
    return f"{axis.form} {axis.low!r} {axis.high!r} {axis.label}"
