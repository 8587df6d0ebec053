"""Drawing, and nothing else: records in, figures out. A file a kind of analysis, named after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from stillbit.analysis.plot.figure import Figure, write_figures
from stillbit.analysis.record import Record
from stillbit.analysis.svg.colour import series

COMPARED = ("curves", "oscillation", "variation", "cost", "landscape")
"""Kinds that have pictures of several runs over each other."""


def figures(record: Record) -> tuple[Figure, ...]:
    """All pictures of one record, the most important first."""
    return tuple(import_module(f"{__name__}.{record.kind}").figures(record))


def compare(
    kind: str, runs: Sequence[tuple[str, Record]], colours: Mapping[str, str] | None = None
) -> tuple[Figure, ...]:
    """Pictures of several runs over each other; ``runs`` are records of one kind, with the names of their runs.

    ``colours`` are the classes of all runs of a page by name, so that a run looks the same in every figure.
    """
    known = {name: series(index) for index, (name, _) in enumerate(runs)} if colours is None else colours
    return tuple(import_module(f"{__name__}.{kind}").compare(runs, known)) if kind in COMPARED else ()


def save(record: Record, folder: Path) -> list[Path]:
    """The pictures of a record as .svg files."""
    return write_figures(figures(record), folder)
