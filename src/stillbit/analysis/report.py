"""The page: records in, one HTML file out that needs nothing beside it and reaches for no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stillbit.analysis import plot
from stillbit.analysis.document import Section, choice, document, drawn
from stillbit.analysis.markup import Child, Markup, join, tag
from stillbit.analysis.page_fit import BUDGETS, LARGE, Fitted, fitted, rows_for
from stillbit.analysis.page_table import tables_of
from stillbit.analysis.plot.figure import Figure
from stillbit.analysis.record import Record
from stillbit.analysis.svg.colour import series
from stillbit.analysis.table import Table


@dataclass(frozen=True, kw_only=True)
class Missing:
    """An analysis that a run does not have, and the command or the reason."""

    kind: str
    command: str = ""
    """Which makes it."""
    reason: str = ""
    """Why there is none, in a sentence, where no command helps."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a page tells of a run."""

    name: str
    """No two runs of a page have the same."""
    records: tuple[Record, ...]
    missing: tuple[Missing, ...] = ()
    stale: tuple[Missing, ...] = ()
    """Records that are older than the checkpoint they are of; ``command`` makes them anew."""
    damaged: tuple[Missing, ...] = ()
    """Files that could not be read, and ``reason`` says why; their records were made on the spot."""

    def record(self, kind: str) -> Record | None:
        """The record of a kind."""
        return next((one for one in self.records if one.kind == kind), None)


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a page is made of."""

    title: str
    under: str
    """A line under the title."""
    summary: tuple[Table, ...]
    """The first tables."""
    runs: tuple[Run, ...]
    version: str


TOPICS = {
    "curves": ("Training", "How the trainings went, and where they ended."),
    "oscillation": ("Oscillation", "Which weights cannot decide between two codes, in which layers, and since when."),
    "variation": ("Variation", "How differently loud heads, channels and layers are: what one scale has to serve."),
    "error": ("Quantization error", "How much of each layer's numbers is lost between float and code."),
    "sensitivity": ("Sensitivity", "Which parts of the model suffer most from few bits: where bits should be spent."),
    "cost": ("Cost", "What an image costs in bit operations, bytes and energy, and which layers cost it."),
    "landscape": ("Loss landscape", "How the loss rises around the trained weights: what small changes of weights do."),
    "attention": ("Attention", "What the model looks at, and whether few bits change that."),
}  # fmt: skip
"""A section a kind, in the order of the story: how it went, what moves, what differs, what it costs."""


def page(said: Page) -> str:
    """The whole file, with as many pictures as it can have and stay small."""
    held = {(run.name, record.kind): plot.figures(record) for run in said.runs for record in run.records}
    text = ""
    for budget in BUDGETS:
        text = _written(said, fitted(held, budget))
        if len(text.encode("utf-8")) <= LARGE:
            break
    return text


def _written(said: Page, kept: Fitted) -> str:
    sections = [Section("summary", "Summary", join(tables_of(said.summary), _left_out(kept.left_out)))]
    for kind, (title, lead) in TOPICS.items():
        sections.append(Section(kind, title, *_topic(kind, lead, said.runs, kept)))
    return document(said.title, said.under, said.version, sections)


def figures_of(said: Page) -> dict[str, tuple[Figure, ...]]:
    """Every figure of the page, under the name of its run; those that compare runs under an empty one."""
    found = {"": tuple(one for kind in TOPICS for one in _compared(kind, said.runs))}
    for run in said.runs:
        records = (run.record(kind) for kind in TOPICS)
        found[run.name] = tuple(one for record in records if record is not None for one in plot.figures(record))
    return found


def _topic(kind: str, lead: str, runs: Sequence[Run], kept: Fitted) -> tuple[Markup, bool]:
    """What stands under the heading of a kind, and whether there is anything but commands."""
    held = [(run, record) for run in runs if (record := run.record(kind)) is not None]
    parts: list[Child] = [tag("p", lead, class_="lead")]
    parts.append(_uneven(held))
    parts += [drawn(one, kind) for one in _compared(kind, runs)]
    # Over each other curves say more, and all of them are there.
    alone = kind != "curves" or len(held) < 2
    blocks = []
    for run, record in held:
        figures = kept.figures[run.name, kind] if alone else ()
        body = (
            _stale(run, kind),
            _damaged(run, kind),
            _unfinished(record),
            *(drawn(one, f"{kind}-{run.name}") for one in figures),
        )
        blocks.append((run.name, join(*body, tables_of(record.tables(), rows_for(len(runs))))))
    if len(runs) == 1:
        parts += [block for _, block in blocks]
    elif blocks:
        parts.append(choice("run", [(name, join(tag("h3", name, class_="called"), block)) for name, block in blocks]))
    parts += [_lacking(run, kind, several=len(runs) > 1) for run in runs]
    return join(*parts), bool(held)


def _left_out(titles: Sequence[str]) -> Markup | None:
    if not titles:
        return None
    words = f"To keep the page small these figures are left out: {', '.join(titles)}. A report of fewer runs has them."
    return tag("p", words, class_="missing")


def _stale(run: Run, kind: str) -> Markup | None:
    old = next((one for one in run.stale if one.kind == kind), None)
    if old is None:
        return None
    words = " The checkpoint is newer than this analysis. Make it anew: "
    return tag("p", tag("strong", "Stale."), words, tag("code", old.command), class_="stale")


def _damaged(run: Run, kind: str) -> Markup | None:
    broken = next((one for one in run.damaged if one.kind == kind), None)
    if broken is None:
        return None
    words = f" What the run has cannot be read, and this was made anew for the page: {broken.reason}"
    return tag("p", tag("strong", "Damaged."), words, class_="stale")


def _unfinished(record: Record) -> Markup | None:
    """What a scan lacks that was stopped: the tables beside it are full of holes."""
    if getattr(record, "done", True):
        return None
    words = " This scan was stopped, and what needs all of its points is left out. The command that began it goes on."
    return tag("p", tag("strong", "Unfinished."), words, class_="stale")


def _uneven(held: Sequence[tuple[Run, Record]]) -> Markup | None:
    """That runs of a section were not measured on as many images."""
    known = [(run.name, count) for run, record in held if (count := getattr(record, "images", 0))]
    if len({count for _, count in known}) < 2:
        return None
    counts = ", ".join(f"{name} {count:,}" for name, count in known)
    words = f" Runs were measured on different numbers of images, so compare them with care: {counts}."
    return tag("p", tag("strong", "Other images."), words, class_="stale")


def _compared(kind: str, runs: Sequence[Run]) -> tuple[Figure, ...]:
    held = [(run.name, record) for run in runs if (record := run.record(kind)) is not None]
    colours = {run.name: series(index) for index, run in enumerate(runs)}
    return plot.compare(kind, held, colours) if len(held) > 1 else ()


def _lacking(run: Run, kind: str, *, several: bool) -> Markup | None:
    lack = next((one for one in run.missing if one.kind == kind), None)
    if lack is None:
        return None
    who = f"{run.name}: " if several else ""
    if lack.reason:
        return tag("p", f"{who}{lack.reason}", class_="missing")
    return tag("p", f"{who}not measured yet. ", tag("code", lack.command), " fills this.", class_="missing")
