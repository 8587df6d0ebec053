"""``stillbit study FILE``: many runs as one question."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.table import Table

from stillbit.cli.options import parse

if TYPE_CHECKING:
    from stillbit.study.folder import Folder
    from stillbit.study.jobs import Job
    from stillbit.study.perform import Event, Outcome
    from stillbit.study.settings import Study
    from stillbit.study.standing import Standing

COLOURS = {"failed": "red", "stopped": "yellow"}


@dataclass(frozen=True, kw_only=True)
class StudyOptions:
    """Train the cells of a study, measure them, and write its CSV, tables, claims, figures and page.

    What is done stays done: the same command goes on where it was.
    """

    file: tyro.conf.Positional[Path]
    """The study, a .toml file."""
    output: Path = Path("output")
    """Folder of all studies; this one's folder in it has the study's name."""
    devices: str = "auto"
    """One process for each, such as cuda:0,cuda:1 or cpu,cpu; auto is one, on a GPU if there is one."""
    budget: float | None = None
    """Minutes: no cell begins that would not be done by then, by those that are."""
    stop_after: float | None = None
    """Minutes after which cells that still run are saved and stopped; the next call goes on with them."""
    retry: bool = False
    """Do again what failed."""
    list: bool = False
    """Say how far each cell is, and do nothing."""
    dry_run: bool = False
    """Say what would be done, in this order, and how long it would take, and do nothing."""
    summary_only: bool = False
    """Draw everything anew from the CSV and the logs, and train nothing."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.list + self.dry_run + self.summary_only > 1:
            raise ValueError("--list, --dry-run and --summary-only are different questions: take one of them")
        for name in ("budget", "stop_after"):
            minutes = getattr(self, name)
            if minutes is not None and not minutes > 0:
                raise ValueError(f"--{name.replace('_', '-')} is so many minutes, above 0, got {minutes:g}")
        if not all(self.devices.split(",")):
            raise ValueError(f"--devices are words with commas between them, got {self.devices!r}: --devices cpu,cpu")


def run(words: Sequence[str]) -> int:
    """All of it; 1 if a cell failed."""
    asked = parse(StudyOptions, words, prog="stillbit study")
    from stillbit import __version__
    from stillbit.cli.study_words import settings
    from stillbit.study import rows, summary
    from stillbit.study.claims import claims
    from stillbit.study.folder import Folder
    from stillbit.study.gather import gather
    from stillbit.study.jobs import jobs
    from stillbit.study.read import read

    console = Console(width=None if sys.stdout.isatty() else 200)
    study = read(asked.file)
    folder = Folder(asked.output / study.name)
    if asked.summary_only:
        _say(console, f"{len(summary.write(study, folder, __version__))} files are new in {folder.path}")
        return 0
    made = jobs(study, settings)
    claims(study.claims, gather(made, folder))
    if asked.list or asked.dry_run:
        console.print(_standings(made, folder) if asked.list else _plan(made, folder))
        return 0
    with folder.alone() as lock:
        outcome = _performed(asked, study, made, folder, lock, console)
        held = gather(made, folder)
        rows.write(held, folder.csv)
        summary.write(study, folder, __version__)
    _say(console, _ended(outcome, made, folder, asked.file))
    if outcome.signal:
        return 128 + outcome.signal
    return int(any(row.status == "failed" for row in held))


def _performed(
    asked: StudyOptions, study: Study, made: list[Job], folder: Folder, lock: int, console: Console
) -> Outcome:
    """The jobs done, each spoken of as it begins and ends, and the CSV written anew after each."""
    from stillbit.study import rows
    from stillbit.study.gather import gather
    from stillbit.study.pace import Budget
    from stillbit.study.perform import Crew, Work

    count = {job.key: number for number, job in enumerate(made, 1)}

    def tell(event: Event, job: Job, standing: Standing) -> None:
        if event in ("done", "failed", "stopped"):
            rows.write(gather(made, folder), folder.csv)
        line = f"{count[job.key]:>4} of {len(made)}  {job.key}: {_event(event, job, standing, folder)}"
        console.print(line, style=COLOURS.get(event, ""), markup=False, highlight=False, soft_wrap=True)

    work = Work(
        study=study,
        jobs=made,
        devices=tuple(asked.devices.split(",")),
        budget=Budget(asked.budget, asked.stop_after),
        retry=asked.retry,
    )
    return Crew(work, folder, lock, tell).perform()


def _event(event: Event, job: Job, standing: Standing, folder: Folder) -> str:
    if event == "failed":
        return f"failed: {standing.error}"
    if event != "done":
        return event
    from stillbit.study.gather import row

    top1 = row(job, standing, folder).top1 if job.kind in ("parents", "runs") else None
    said = f"done in {_time(standing.seconds)}" + (f", top1 {top1:.2f} %" if top1 is not None else "")
    return said + "".join(f"; {what} was not measured: {why}" for what, why in standing.unmeasured.items())


def _standings(made: list[Job], folder: Folder) -> Table:
    """A row a job."""
    from stillbit.study.gather import row

    table = _table("job", "status", right=("top1", "took"))
    for job in made:
        held = folder.standing(job)
        top1 = row(job, held, folder).top1 if job.kind in ("parents", "runs") else None
        took = _time(held.seconds) if held.seconds else ""
        table.add_row(job.key, held.status, "" if top1 is None else f"{top1:.2f} %", took)
    return table


def _plan(made: list[Job], folder: Folder) -> Table:
    """What is left to do, and how long it takes by what is done."""
    from stillbit.study.pace import Pace

    held = {job.key: folder.standing(job) for job in made}
    pace = Pace((job, held[job.key]) for job in made if held[job.key].status == "done")
    table = _table("job", "status", right=("epochs", "takes"))
    total, unknown = 0.0, 0
    for job in made:
        if held[job.key].status == "done":
            continue
        seconds = pace.seconds(job)
        total, unknown = total + (seconds or 0.0), unknown + (seconds is None)
        epochs = str(job.epochs) if job.kind in ("parents", "runs") else ""
        table.add_row(job.key, held[job.key].status, epochs, "not known yet" if seconds is None else _time(seconds))
    some = f", and {unknown} of which nothing is known" if unknown else ""
    table.add_row("together", "", "", f"{_time(total)}{some}", style="bold")
    return table


def _table(*left: str, right: tuple[str, ...]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _ended(outcome: Outcome, made: list[Job], folder: Folder, file: Path) -> str:
    """What there is now, and what there is not."""
    standings = [folder.standing(job) for job in made if job.kind == "runs"]
    done = sum(held.status == "done" for held in standings)
    failed = sum(folder.standing(job).status == "failed" for job in made)
    said = [f"{done} of {len(standings)} cells are done: {folder.path / 'index.html'}, {folder.path / 'table.md'}."]
    if failed:
        blocked = f", and {len(outcome.blocked)} need what failed" if outcome.blocked else ""
        said.append(f"{failed} failed{blocked}: stillbit study {file} --retry does them again.")
    if outcome.signal or outcome.left or any(held.status == "stopped" for held in standings):
        said.append(f"stillbit study {file} goes on.")
    return " ".join(said)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
