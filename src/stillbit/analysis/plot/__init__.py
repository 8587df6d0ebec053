"""Drawing, and nothing else: records in, figures out. A file a kind of analysis, named after it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from stillbit.analysis.plot.figure import Figure, write_figures
from stillbit.analysis.record import Record

COMPARED = ("curves", "oscillation", "variation", "cost", "landscape")
"""Kinds that have pictures of several runs over each other."""


def figures(record: Record) -> tuple[Figure, ...]:
    """All pictures of one record, the most important first."""
    return tuple(import_module(f"{__name__}.{record.kind}").figures(record))


def compare(kind: str, runs: Sequence[tuple[str, Record]]) -> tuple[Figure, ...]:
    """Pictures of several runs over each other; ``runs`` are records of one kind, with the names of their runs."""
    return tuple(import_module(f"{__name__}.{kind}").compare(runs)) if kind in COMPARED else ()


def save(record: Record, folder: Path) -> list[Path]:
    """The pictures of a record as .svg files."""
    return write_figures(figures(record), folder)
