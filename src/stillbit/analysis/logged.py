"""What a run wrote down: the rows of its log, each moment once, however often the run was stopped and resumed."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

Row = dict[str, Any]
"""Names and numbers; ``step`` is always one of them, and ``epoch``."""


class Logged(NamedTuple):
    """Rows in the order of their steps."""

    steps: tuple[Row, ...]
    """Logged every so many steps."""
    epochs: tuple[Row, ...]
    """Logged at the end of each epoch."""


def logged(folder: Path) -> Logged:
    """The log of the run in ``folder``; refused if there is not one row."""
    rows = _once(_lines(folder / "metrics.jsonl"))
    epochs = _summary(folder / "summary.csv")  # a run that began at another's checkpoint has its epochs only here
    epochs |= {row["epoch"]: row for row in rows if row["kind"] == "epoch"}
    found = Logged(tuple(r for r in rows if r["kind"] == "step"), tuple(epochs[n] for n in sorted(epochs)))
    if not (found.steps or found.epochs):
        raise ValueError(
            f"{folder} has logged nothing: it stopped before its first line; go on with --resume auto, or log more "
            "often with --log-interval 10"
        )
    return found


def _lines(path: Path) -> list[Row]:
    """Line by line; half a line at the end is what a killed run leaves."""
    if not path.is_file():
        return []
    rows: list[Row] = []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not (isinstance(row, dict) and row.get("kind") in ("step", "epoch") and _placed(row)):
            if number == len(lines):
                break
            raise ValueError(f"line {number} of {path} is damaged: take it out, the rest can be read")
        rows.append(row)
    return rows


def _placed(row: Row) -> bool:
    return all(type(row.get(name)) is int for name in ("epoch", "step"))


def _once(rows: list[Row]) -> list[Row]:
    """What is told again, by a run that went on from an earlier checkpoint, replaces what was told before."""
    kept: list[Row] = []
    for row in rows:
        while kept and _moment(kept[-1]) >= _moment(row):
            kept.pop()
        kept.append(row)
    return kept


def _moment(row: Row) -> tuple[int, bool]:
    return row["step"], row["kind"] == "epoch"


def _summary(path: Path) -> dict[int, Row]:
    """The rows of the table of epochs, by their epoch."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = [
            {name: number for name, cell in row.items() if (number := _number(cell)) is not None}
            for row in csv.DictReader(file)
        ]
    return {
        int(row["epoch"]): {**row, "kind": "epoch", "epoch": int(row["epoch"]), "step": int(row["step"])}
        for row in rows
        if "epoch" in row and "step" in row
    }


def _number(cell: Any) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None


def finite(value: Any) -> TypeGuard[float]:
    """Whether it is a number that a curve can go through."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
