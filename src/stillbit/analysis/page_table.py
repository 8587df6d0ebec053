"""A table as HTML: real headings, a caption, and numbers that a script can sort by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stillbit.analysis.markup import Child, Markup, join, tag
from stillbit.analysis.table import Cell, Column, Table, written

MOST = 300
"""Rows of a table, if nothing else is said; the record has all."""
SHORT = 14
"""A table with more rows shows ten of them, until the reader asks for all."""


def tables_of(tables: Sequence[Table], most: int = MOST) -> Markup:
    """Tables one below the other; what two of them mean alike is said below the first."""
    told: set[str | tuple[str, str]] = set()
    drawn: list[Markup] = []
    for table in tables:
        columns = tuple(
            replace(column, about="") if (column.name, column.about) in told else column for column in table.columns
        )
        drawn.append(table_of(replace(table, note="" if table.note in told else table.note, columns=columns), most))
        told |= {table.note, *((column.name, column.about) for column in table.columns)}
    return join(*drawn)


def table_of(table: Table, most: int = MOST) -> Markup:
    """The table, in a box of its own that scrolls, and below it what its columns mean."""
    rows = [_row(row, table.columns) for row in table.rows[:most]]
    left = len(table.rows) - most
    caption = table.title[:1].upper() + table.title[1:]
    classes = "sortable short" if len(rows) > SHORT else "sortable"
    held = tag(
        "table",
        tag("caption", caption),
        tag("thead", tag("tr", *(_heading(column) for column in table.columns))),
        tag("tbody", *rows),
        class_=classes,
    )
    more = f" {left:,} more rows are in the record." if left > 0 else ""
    note = _sentence(table.note) + more
    box = tag("div", held, class_="scroll", tabindex="0", role="region", aria_label=caption)
    return join(box, tag("p", note.strip(), class_="note") if note.strip() else None, _meanings(table.columns))


def _heading(column: Column) -> Markup:
    return tag("th", column.name, scope="col", class_=None if column.kind == "text" else "number")


def _row(row: tuple[Cell, ...], columns: tuple[Column, ...]) -> Markup:
    cells: list[Child] = []
    for index, (cell, column) in enumerate(zip(row, columns, strict=True)):
        words = written(cell, column.kind)
        if index == 0 and column.kind == "text":
            cells.append(tag("th", words, scope="row"))
        elif column.kind == "text":
            cells.append(tag("td", words))
        else:
            # Six digits sort as well as all, and a page has many numbers.
            by = f"{cell:.6g}" if isinstance(cell, int | float) else None
            cells.append(tag("td", words, data_v=by))
    return tag("tr", *cells)


def _meanings(columns: tuple[Column, ...]) -> Markup | None:
    """A line a column that needs one."""
    said = [
        tag("li", tag("b", column.name), f": {_sentence(column.about).strip()}") for column in columns if column.about
    ]
    return tag("ul", *said, class_="note meanings") if said else None


def _sentence(words: str) -> str:
    if not words:
        return ""
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith('.') else '.'} "
