"""HTML and SVG as strings in which nothing foreign becomes markup: plain text is escaped wherever it is put."""

from __future__ import annotations

import re
from typing import final

VOID = {"meta", "link", "br", "hr", "img", "input"}
"""Elements of HTML that have no end."""
EMPTY = {"rect", "path", "line", "circle", "polyline", "polygon", "use", "image"}
"""Shapes of SVG, which are short when nothing is in them."""
# XML has no place for these, not even escaped; names of files may hold them, and halves of surrogate pairs too.
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


@final
class Markup(str):
    """Text that is markup already. Any other string is words, and gets escaped."""

    __slots__ = ()


Child = str | Markup | None
Attribute = str | float | int | bool | None


def escaped(words: str) -> Markup:
    """Words as they may stand between tags and in attributes."""
    clean = _UNSPEAKABLE.sub("\ufffd", words)
    return Markup("".join(_ESCAPES.get(letter, letter) for letter in clean))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Markup:
    """An element; ``data_x`` is written data-x, ``class_`` class, and what is None or False is left out."""
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = join(*children)
    if name in VOID:
        assert not inside, f"{name} holds nothing"
        return Markup(f"<{name}{said}>")
    if name in EMPTY and not inside:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{inside}</{name}>")


def join(*children: Child) -> Markup:
    """One after the other; words are escaped, markup is left as it is."""
    return Markup("".join(_child(child) for child in children))


def number(value: float) -> str:
    """A place in a picture: to a hundredth of a pixel, without what says nothing."""
    said = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if said == "-0" else said


def _child(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escaped(child)


def _attribute(key: str, value: Attribute) -> str:
    name = key.rstrip("_").replace("_", "-")
    name = {"viewbox": "viewBox", "preserveaspectratio": "preserveAspectRatio"}.get(name.lower(), name)
    if value is None or value is False:
        return ""
    if value is True:
        return f" {name}"
    said = number(value) if isinstance(value, float) else str(value)
    return f' {name}="{escaped(said)}"'
