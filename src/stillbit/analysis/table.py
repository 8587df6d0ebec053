"""A table as plain data: the command line prints it, the report lets a reader sort it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Cell = str | int | float | None
Kind = Literal["text", "count", "number", "share", "change"]
"""How a column is written: as it is; with thousands apart; to four digits; in percent; in percent with its sign."""


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
    if kind == "count":
        return f"{cell:,.0f}"
    if kind == "share":
        return f"{100 * cell:.2f} %"
    if kind == "change":
        return f"{100 * cell:+.2f} %"
    return f"{cell:.4g}"
