"""How far a job is."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillbit.study.standing import Standing, load, store


def test_what_is_written_down_is_read_back(tmp_path: Path) -> None:
    said = Standing(hash="a", status="failed", error="no", seconds=1.5, unmeasured={"cost": "why"})
    store(said, tmp_path / "runs" / "cell.json")
    assert load(tmp_path / "runs" / "cell.json") == said


def test_nothing_stands_where_nothing_was(tmp_path: Path) -> None:
    assert load(tmp_path / "cell.json") is None


@pytest.mark.parametrize("text", ["{", "[]"])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "cell.json").write_text(text)
    with pytest.raises(ValueError, match="is damaged: remove it"):
        load(tmp_path / "cell.json")


def test_a_status_that_there_is_not_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cell.json").write_text('{"hash": "a", "status": "ready"}')
    with pytest.raises(ValueError, match="status"):
        load(tmp_path / "cell.json")
