"""What a prediction shows: the likeliest classes of a picture or a text, the likeliest first."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.console import Console


def likeliest(logits: Float[ndarray, " classes"], classes: tuple[str, ...], top: int) -> list[dict[str, Any]]:
    """The first ``top`` classes, with their probabilities."""
    wide = logits.astype(np.float64)
    likely = np.exp(wide - wide.max())
    likely /= likely.sum()
    order = np.argsort(-likely, kind="stable")[:top]
    return [
        {"class": int(each), "name": _name(classes, int(each)), "probability": float(likely[each])} for each in order
    ]


def show(console: Console, title: str, seen: list[dict[str, Any]], *, apart: bool) -> None:
    """A block of lines; an empty one above it, if it stands ``apart`` from another."""
    head(console, title, apart=apart)
    for row in seen:
        console.print(f"  {row['probability']:7.2%}  {row['name']}", markup=False, soft_wrap=True)


def head(console: Console, title: str, *, apart: bool) -> None:
    """What the lines below are about."""
    if apart:
        console.print()
    console.print(title, markup=False, soft_wrap=True, style="bold")


def _name(classes: tuple[str, ...], number: int) -> str:
    return classes[number] if number < len(classes) else f"class {number}"
