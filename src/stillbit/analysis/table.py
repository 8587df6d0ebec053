"""A table as plain data: the command line prints it, the report lets a reader sort it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | None
Kind = Literal["text", "count", "number", "share", "change", "bytes"]
"""How a column is written: as it is; with thousands apart; to four digits; in percent; as percentage points with their
sign; as kB, MB and so on."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """A heading, how its cells are written, and what it means in a sentence."""

    name: str
    kind: Kind = "text"
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells under columns; ``note`` states what the numbers mean nothing without."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        """Every row has a cell a column."""
        assert all(len(row) == len(self.columns) for row in self.rows), "a row is as long as the heading"


def written(cell: Cell, kind: Kind) -> str:
    """The words of a cell; nothing for what is not known."""
    if cell is None:
        return ""
    if kind == "text" or isinstance(cell, str):
        return str(cell)
    words = {
        "count": f"{cell:,.0f}",
        "share": f"{100 * cell:.2f} %",
        "change": f"{100 * cell:+.2f} points",
        "bytes": f"{scaled(cell)}B",
        # Whole above a thousand: 1.188e+04 is read by nobody.
        "number": f"{cell:,.0f}" if 999.95 <= abs(cell) < 1e9 else f"{cell:.4g}",
    }
    return words[kind]


def scaled(value: float) -> str:
    """To three digits, with what a unit begins with: 14.9 M; a unit follows."""
    for size, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} "
