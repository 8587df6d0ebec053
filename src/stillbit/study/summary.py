"""What a study leaves to be read: tables, claims, figures and a page, all of them drawn from the CSV and the logs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stillbit.analysis.document import Section, document, drawn
from stillbit.analysis.markup import Child, Markup, join
from stillbit.analysis.page_table import table_of
from stillbit.analysis.plot.figure import Figure, write_figures
from stillbit.analysis.table import Column, Table
from stillbit.study import rows, tables, verdicts
from stillbit.study.courses import curves
from stillbit.study.figures import figures
from stillbit.study.folder import Folder
from stillbit.study.paired import sample
from stillbit.study.rows import METRICS, Row
from stillbit.study.settings import Study
from stillbit.train.files import write_text

PAGE = "index.html"


def write(study: Study, folder: Folder, version: str) -> list[Path]:
    """All of it; what there is not yet enough for is left out."""
    held = rows.read(folder.csv)
    claims = dict(study.claims)
    written = {"table.md": tables.tables(held, study.name, study.baseline)}
    if claims:
        written["claims.md"] = verdicts.page(study.name, claims, held)
    made = [*figures(held)]
    course = curves(held, folder.path / "runs")
    made += [] if course is None else [course]
    written[PAGE] = _page(study, held, made, version)
    for name, text in written.items():
        write_text(folder.path / name, text)
    for old in folder.figures.glob("*.svg"):
        old.unlink()
    drawings = write_figures(tuple(made), folder.figures) if made else []
    return [*(folder.path / name for name in written), *drawings]


def _page(study: Study, held: Sequence[Row], made: Sequence[Figure], version: str) -> str:
    cells = [row for row in held if row.kind == "cell"]
    done = sum(row.status == "done" for row in cells)
    sections = [Section("summary", "Summary", _tables(cells))]
    if study.claims:
        sections.append(Section("claims", "Claims", table_of(_claims(study, held))))
    body: list[Child] = [drawn(one, "study") for one in made]
    sections.append(Section("figures", "Figures", join(*body), bool(body)))
    sections.append(Section("runs", "Runs", table_of(_runs(held))))
    return document(study.name, f"{done} of {len(cells)} cells are done", version, sections)


def _tables(cells: Sequence[Row]) -> Markup:
    """A row a method and width, a column a number that somebody measured."""
    known = [metric for metric in METRICS.values() if any(rows.value(row, metric.name) is not None for row in cells)]
    columns = [Column(name="method"), Column(name="model"), Column(name="bits"), Column(name="seeds", kind="count")]
    for metric in known:
        columns += [Column(name=metric.name, kind="number", about=metric.heading), Column(name="±", kind="number")]
    lines = []
    for title, model, bits in dict.fromkeys((row.title, row.model, row.bits) for row in cells):
        mine = [row for row in cells if (row.title, row.model, row.bits) == (title, model, bits)]
        cell: list[str | int | float | None] = [title, model, bits, sum(row.status == "done" for row in mine)]
        for metric in known:
            found = sample([held for row in mine if (held := rows.value(row, metric.name)) is not None])
            cell += [None, None] if found is None else [found.mean, found.spread]
        lines.append(tuple(cell))
    note = "Means over seeds, each with the standard deviation of a seed."
    return table_of(Table(title="What came out", columns=tuple(columns), rows=tuple(lines), note=note))


def _claims(study: Study, held: Sequence[Row]) -> Table:
    columns = (
        *(Column(name="claim"), Column(name="says"), Column(name="where"), Column(name="verdict")),
        *(Column(name="difference", kind="number"), Column(name="± (95 %)", kind="number")),
        Column(name="seeds", kind="count"),
    )
    lines = []
    for name, judged in verdicts.verdicts(dict(study.claims), held):
        for one in judged:
            where = " ".join(part for part in (one.bits, one.model) if part)
            for pair in one.compared:
                said = f"{one.claim.metric}: {pair.left} {one.claim.relation} {pair.right}"
                found = pair.difference
                numbers = (None, None, 0) if found is None else (found.mean, found.half, found.seeds)
                lines.append((name, said, where, pair.verdict, *numbers))
    return Table(title="What was claimed", columns=columns, rows=tuple(lines), note=verdicts.RULE.replace("*", ""))


def _runs(held: Sequence[Row]) -> Table:
    columns = (
        *(Column(name="run"), Column(name="status"), Column(name="top1", kind="number")),
        *(Column(name="seconds", kind="number"), Column(name="recipe"), Column(name="environment")),
        Column(name="last words"),
    )
    lines = tuple((r.name, r.status, r.top1, r.seconds, r.recipe, r.environment, r.error) for r in held)
    return Table(title="Every run", columns=columns, rows=lines, note="The CSV has all columns.")
