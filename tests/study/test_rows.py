"""The tidy table."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillbit.study.rows import COLUMNS, METRICS, Row, read, value, widths, write
from tests.study.small import row


def test_rows_come_back_from_the_file_as_they_were_to_the_bit(tmp_path: Path) -> None:
    said = [
        row(
            "lsq", top1=70 + 1 / 3, steps=8, oscillation=0.1 + 0.2, weight_bytes=1000, recipe="0012", environment="1e5"
        ),
        row("lsq+no-obr", seed=1, top1=None, status="failed", error='it said "no", and then | "stop"\nthere'),
    ]
    write(said, tmp_path / "runs.csv")
    assert read(tmp_path / "runs.csv") == said


def test_a_number_that_is_none_is_an_empty_cell(tmp_path: Path) -> None:
    write([row(top1=None)], tmp_path / "runs.csv")
    heading, line = (tmp_path / "runs.csv").read_text().splitlines()
    cells = dict(zip(heading.split(","), line.split(","), strict=True))
    assert cells["top1"] == "" and cells["seed"] == "0"


def test_every_metric_is_a_column() -> None:
    assert METRICS.keys() <= set(COLUMNS)
    assert value(row(weight_bytes=7), "weight_bytes") == 7.0 and value(row(), "latent") is None


def test_a_file_that_is_not_there_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="run the study first"):
        read(tmp_path / "runs.csv")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text("method,top1\nlsq,70\n")
    with pytest.raises(ValueError, match="has other columns"):
        read(tmp_path / "runs.csv")


def test_a_word_where_a_number_should_be_is_named_with_its_line(tmp_path: Path) -> None:
    write([row(), row()], tmp_path / "runs.csv")
    path = tmp_path / "runs.csv"
    path.write_text(path.read_text().replace("70.0", "good", 2).replace("good", "70.0", 1))
    with pytest.raises(ValueError, match=r"line 3 of .*runs\.csv: top1 is no number, but 'good'"):
        read(path)


def test_a_row_is_called_by_its_method_and_switch() -> None:
    assert [row(title).title for title in ("lsq", "lsq+no-obr")] == ["lsq", "lsq+no-obr"]
    assert isinstance(row(), Row)


def test_widths_are_in_the_order_of_the_papers() -> None:
    assert widths([row(bits=bits) for bits in ("w2a2", "float", "w2a8", "w4a4", "w2a2", "W8A8")]) == [
        *("float", "W8A8", "w4a4", "w2a8", "w2a2")
    ]
