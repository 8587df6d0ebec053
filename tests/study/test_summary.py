"""All that a study leaves to be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stillbit.study import rows, summary
from stillbit.study.folder import Folder
from tests.study.small import made, row, seeds

ROWS = [
    *seeds("lsq", [70.0, 74.0, 78.0]),
    *seeds("statsq", [71.0, 75.1, 78.9]),
    row("pact", top1=None, status="failed", error="<lost>"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    rows.write(ROWS, tmp_path / "runs.csv")
    return Folder(tmp_path)


def test_tables_claims_figures_and_page_are_made_of_the_csv_alone(folder: Folder) -> None:
    study = made(claims={"better": "statsq > lsq"}, baseline="lsq")
    found = [str(path.relative_to(folder.path)) for path in summary.write(study, folder, "1.2")]
    assert found == ["table.md", "claims.md", "index.html", "figures/accuracy-bits-tiny.svg"]
    page = (folder.path / "index.html").read_text()
    assert "6 of 7 cells are done" in page and "top1: statsq &gt; lsq" in page and "&lt;lost&gt;" in page
    assert re.search(r"<td>held</td><td data-v=\"1\">1</td>", page)


def test_a_study_without_claims_has_no_page_of_them(folder: Folder) -> None:
    assert folder.path / "claims.md" not in summary.write(made(), folder, "1.2")


def test_figures_of_another_time_are_gone(folder: Folder) -> None:
    folder.figures.mkdir()
    (folder.figures / "old.svg").touch()
    summary.write(made(), folder, "1.2")
    assert [path.name for path in folder.figures.iterdir()] == ["accuracy-bits-tiny.svg"]


def test_nothing_done_is_a_page_too(tmp_path: Path) -> None:
    rows.write([row(top1=None, status="waiting")], tmp_path / "runs.csv")
    summary.write(made(), Folder(tmp_path), "1.2")
    assert "0 of 1 cells are done" in (tmp_path / "index.html").read_text()


def test_without_a_csv_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run the study first"):
        summary.write(made(), Folder(tmp_path), "1.2")
