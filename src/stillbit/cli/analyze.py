"""``stillbit analyze``: what the bits do to a model. Finds the analysis, and shows what it found."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from stillbit.analysis.record import Record, to_json, write
from stillbit.analysis.table import Table, written

KINDS = {
    "sensitivity": "Which roles, layers and heads lose accuracy at low bits",
    "variation": "How much weights and activations differ between layers, heads and channels",
    "oscillation": "Which weights do not settle",
    "landscape": "How the loss looks around the trained weights",
    "attention": "Where the model looks, float against quantized",
    "cost": "Multiplications, bit operations, bytes, and what a chip would need",
    "curves": "How a training went",
    "error": "How far quantized numbers are from float ones, layer by layer",
}
ROWS = 20
"""As many rows of a table are printed; the record has all."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What every analysis is asked with."""

    target: tyro.conf.Positional[str]
    """A run, a model file that stillbit wrote, or timm's name of a model."""
    data_dir: Path | None = None
    """The folder with the images or texts; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split to look at; validation if not given."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run."""
    pretrained: bool = False
    """Download timm's weights for a model given by name."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    output: Path | None = None
    """Where the record goes, a .json file; a run keeps it in its folder analysis if not given."""
    figures: Path | None = None
    """A folder for the figures as .svg files."""
    json: bool = False
    """Print the record as JSON instead of tables."""

    def __post_init__(self) -> None:
        """Refuse a place that would surprise."""
        if self.output is not None and self.output.suffix.lower() != ".json":
            raise ValueError(f"a record is a .json file, and this is {self.output.name}: --output record.json")
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise ValueError(f"{self.figures} is a file, and figures go to a folder: --figures figures")

    def of_data(self) -> dict[str, Any]:
        """The choices of data that were said."""
        said = {"data_dir": self.data_dir, "dataset": self.dataset, "val_split": self.val_split}
        return {name: value for name, value in said.items() if value is not None}

    def place(self, kind: str, folder: Path | None) -> Path | None:
        """Where the record goes; a run keeps none of other images than its own, unless these are gone."""
        if self.output is not None or folder is None:
            return self.output
        own = folder / "analysis" / f"{kind}.json"
        if not self.of_data():
            return own
        from stillbit.methods.recipe_file import read

        data = read(folder).data
        gone = data.data_dir is not None and not data.data_dir.exists()
        alike = all(getattr(data, name) == value for name, value in self.of_data().items())
        return own if gone or alike else None


def run(words: Sequence[str]) -> int:
    """One of the analyses."""
    if not words or words[0] in ("-h", "--help"):
        Console().print(usage(), highlight=False)
        return 0 if words else 2
    if words[0] not in KINDS:
        near = get_close_matches(words[0], KINDS, n=1)
        meant = f"did you mean stillbit analyze {near[0]}?" if near else "stillbit analyze --help"
        raise ValueError(f"there is no analysis {words[0]!r}: {meant}")
    return int(import_module(f"stillbit.cli.analyze_{words[0]}").run(words[1:]))


def usage() -> str:
    """What ``stillbit analyze --help`` says."""
    lines = [f"  [bold]{name:<13}[/]{what}" for name, what in KINDS.items()]
    return "\n".join(
        [
            "usage: stillbit analyze KIND TARGET ...",
            "",
            *lines,
            "",
            "TARGET is a run, a model file that stillbit wrote, or timm's name of a model. For example:",
            "  stillbit analyze sensitivity output/lsq --by head",
            "  stillbit analyze cost deit_tiny_patch16_224 --bits w4a4",
            "stillbit analyze KIND --help lists the options; stillbit report RUN ... puts all on one page.",
        ]
    )


def shown(asked: Asked, record: Record, folder: Path | None) -> int:
    """Write the record where it belongs, and print it; ``folder`` is the run's."""
    path = asked.place(record.kind, folder)
    if path is not None:
        write(record, path)
    drawn = _draw(record, asked.figures)
    # The record goes alone to stdout, so that a pipe reads only JSON.
    console = Console(width=None if sys.stdout.isatty() else 200)  # a file has no edge to break lines at
    aside = Console(stderr=asked.json)
    if asked.json:
        console.out(to_json(record), end="", highlight=False)
    else:
        for number, table in enumerate(record.tables()):
            _print(console, table, apart=number > 0)
    if drawn:
        aside.print(f"drawn: {len(drawn)} figures in {asked.figures}", markup=False, highlight=False, soft_wrap=True)
    if path is not None:
        aside.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
    elif folder is not None:
        said = f"not kept in {folder}, since these are other images than its own: --output record.json keeps it"
        aside.print(said, markup=False, highlight=False, soft_wrap=True)
    return 0


def _draw(record: Record, folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    from stillbit.analysis.plot import save

    return save(record, folder)


def _print(console: Console, table: Table, *, apart: bool) -> None:
    if apart:
        console.print()
    console.print(f"[bold]{escape(table.title)}[/]", highlight=False, soft_wrap=True)
    grid = Grid(box=None, header_style="bold", pad_edge=False)
    for column in table.columns:
        grid.add_column(escape(column.name), justify="left" if column.kind == "text" else "right", no_wrap=True)
    for row in table.rows[:ROWS]:
        cells = zip(row, table.columns, strict=True)
        grid.add_row(*(escape(written(cell, column.kind)) for cell, column in cells))
    console.print(grid, highlight=False)
    more = len(table.rows) - ROWS
    if more > 0:
        console.print(f"... and {more:,} more rows: --json has all", highlight=False)
    if table.note:
        console.print(table.note, markup=False, highlight=False, style="dim")
