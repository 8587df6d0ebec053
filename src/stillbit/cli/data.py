"""``stillbit data fractals``: make the data set that needs no download."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillbit.cli.options import parse
from stillbit.data.settings import FractalSettings

USAGE = """usage: stillbit data fractals --output FOLDER \\[OPTIONS]

  [bold]fractals[/]  Draw a data set of fractals: any number of classes and images, of any size

For example: stillbit data fractals --output fractals
stillbit data fractals --help lists the options."""


@dataclass(frozen=True, kw_only=True)
class FractalData:
    """Draw a data set of fractals. Stopped, it goes on where it was; finished, it is left as it is."""

    output: Path
    """The folder to make."""
    fractals: FractalSettings = field(default_factory=FractalSettings)
    workers: int = 2
    """Processes that draw."""


def run(words: Sequence[str]) -> int:
    """Make a data set, and say what to do with it."""
    console = Console()
    if not words or words[0] in ("-h", "--help"):
        console.print(USAGE, highlight=False)
        return 0 if words else 2
    if words[0] != "fractals":
        raise ValueError(f"there is no data set {words[0]!r} to make: stillbit data fractals --output FOLDER")
    asked = parse(FractalData, words[1:], prog="stillbit data fractals")
    from stillbit.data.fractal_cache import render

    columns = TextColumn("drawing"), BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)
        render(asked.fractals, asked.output, asked.workers, lambda done, of: bar.update(task, completed=done, total=of))
    f = asked.fractals
    made = f"{f.classes} classes, {f.classes * f.images:,} + {f.classes * f.val_images:,} images of {f.size} pixels"
    console.print(f"{asked.output}: {made}", highlight=False, soft_wrap=True)
    console.print(f"stillbit train fp --data-dir {asked.output}", highlight=False, soft_wrap=True)
    return 0
