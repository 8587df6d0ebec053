"""Pages of sample runs, for tests of what is on them and of how a browser shows them."""

from __future__ import annotations

from stillbit.analysis.report import Missing, Page, Run, page
from stillbit.analysis.table import Column, Table
from tests.analysis.plot import samples

COLUMNS = (Column(name="run"), Column(name="top-1", kind="number"), Column(name="size", kind="count"))


def summary(*names: str) -> tuple[Table, ...]:
    rows = tuple((name, 60.0 + (7 * index) % 11, 1_000 * (index + 1)) for index, name in enumerate(names))
    return (Table(title="What came out", columns=COLUMNS, rows=rows),)


def three() -> Page:
    """A whole run, one whose name is markup, and one that lacks much."""
    lacks = (
        Missing(kind="oscillation", reason="nobody tracked the weights: train with --track"),
        Missing(kind="sensitivity", command="stillbit analyze sensitivity bare"),
    )
    old = Missing(kind="sensitivity", command=f"stillbit analyze sensitivity {samples.EVIL}")
    runs = (
        Run(name="plain", records=samples.every("plain")),
        Run(name=samples.EVIL, records=samples.every(samples.EVIL), stale=(old,)),
        Run(name="bare", records=(samples.curves("bare"), samples.cost("bare", bits=4.0)), missing=lacks),
    )
    names = [run.name for run in runs]
    return Page(
        title=f"Three runs {samples.EVIL}", under=", ".join(names), summary=summary(*names), runs=runs, version="0"
    )


def one() -> Page:
    """A single run, with everything."""
    run = Run(name="plain", records=samples.every("plain"))
    return Page(title="plain", under="runs/plain", summary=summary("plain"), runs=(run,), version="0")


def text(said: Page) -> str:
    return page(said)
