"""``stillbit report``: runs on one page, that opens from disk and needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console

from stillbit.cli.options import parse

MOST = 10
"""Runs on a page."""
LARGE = 5_000_000
"""Bytes above which a page is said to be large."""
Dear = Literal["sensitivity", "landscape", "attention"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Put runs on one page: how they trained, what oscillates, what varies, what it costs, and what is sensitive."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, up to ten."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("report.html")
    """The page, an .html file."""
    with_: Annotated[tuple[Dear, ...], tyro.conf.arg(name="with")] = ()
    """Make these first, for each run that lacks them or whose checkpoint is newer; they take their time."""
    full: bool = False
    """Make all of them: the same as --with sensitivity landscape attention."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of the runs."""
    data_dir: Path | None = None
    """The folder with the images or texts; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split to look at; validation if not given."""
    device: str = "auto"
    """cpu, cuda, ...; auto takes a GPU if there is one."""
    title: str | None = None
    """Of the page."""
    figures: Path | None = None
    """A folder that gets every figure as an .svg file too."""

    def __post_init__(self) -> None:
        """Refuse what makes no page, before anything is computed."""
        if not self.runs:
            raise ValueError("a report is about runs: stillbit report output/RUN")
        if len(self.runs) > MOST:
            raise ValueError(f"a page holds up to {MOST} runs, and these are {len(self.runs)}: make two pages")
        seen: set[Path] = set()
        for run in self.runs:
            if run.resolve() in seen:
                raise ValueError(f"{run} is named twice: name each run once")
            seen.add(run.resolve())
        if self.output.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"a report is an .html file, and this is {self.output.name}: -o report.html")
        if self.output.is_dir():
            raise ValueError(f"{self.output} is a folder: say the file, -o {self.output / 'report.html'}")
        if self.figures is not None and self.figures.exists() and not self.figures.is_dir():
            raise ValueError(f"{self.figures} is a file, and figures go to a folder: --figures figures")

    @property
    def wanted(self) -> tuple[str, ...]:
        """The dear analyses that are to be made."""
        return ("sensitivity", "landscape", "attention") if self.full else self.with_

    def of_data(self) -> dict[str, Any]:
        """The choices of data that were said."""
        said = {"data_dir": self.data_dir, "dataset": self.dataset, "val_split": self.val_split}
        return {name: value for name, value in said.items() if value is not None}


def run(words: Sequence[str]) -> int:
    """The page, and the figures where they are wanted."""
    asked = parse(Report, words, prog="stillbit report")
    from stillbit import __version__
    from stillbit.analysis.plot.figure import write_figures
    from stillbit.analysis.report import Page, figures_of, page
    from stillbit.cli.report_gather import check, gather, named
    from stillbit.cli.report_summary import summary
    from stillbit.data.whole import whole

    console = Console(stderr=True)
    for folder in asked.runs:
        check(folder, asked.checkpoint)

    def tell(what: str) -> None:
        if console.is_terminal:
            console.print(what, style="dim", markup=False, highlight=False, soft_wrap=True)

    names = named(asked.runs)
    runs = tuple(gather(folder, name, asked, tell) for folder, name in zip(asked.runs, names, strict=True))
    title = asked.title or (names[0] if len(names) == 1 else f"{len(names)} runs side by side")
    under = ", ".join(names) if len(names) > 1 else str(asked.runs[0])
    said = Page(title=title, under=under, summary=summary(asked.runs, runs), runs=runs, version=__version__)
    text = page(said)
    asked.output.parent.mkdir(parents=True, exist_ok=True)
    with whole(asked.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    size = len(text.encode("utf-8"))
    large = ": fewer runs make it smaller" if size > LARGE else ""
    out = Console()
    out.print(f"written: {asked.output} ({size / 1e6:.2f} MB{large})", markup=False, highlight=False, soft_wrap=True)
    if asked.figures is not None:
        drawn = [path for name, held in figures_of(said).items() for path in write_figures(held, asked.figures, name)]
        out.print(f"drawn: {len(drawn)} figures in {asked.figures}", markup=False, highlight=False, soft_wrap=True)
    return 0
