from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillbit.analysis.logged import finite, logged


def step(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "step", "epoch": number // 10, "step": number, "loss": 5.0 - number / 100, **more}


def epoch(number: int, **more: Any) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "step": 10 * number, "top1": float(number), **more}


def write(folder: Path, *rows: dict[str, Any], end: str = "") -> Path:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + end)
    return folder


def test_rows_come_in_their_order(tmp_path: Path) -> None:
    rows = (step(5), step(10), epoch(1), step(15), step(20), epoch(2))
    found = logged(write(tmp_path, *rows))
    assert found.steps == (rows[0], rows[1], rows[3], rows[4]) and found.epochs == (rows[2], rows[5])


def test_what_a_resumed_run_tells_again_replaces_what_it_told_before(tmp_path: Path) -> None:
    first = (step(5), step(10), epoch(1), step(15), step(20), epoch(2), step(25))
    again = (step(15, loss=1.0), step(20, loss=2.0), epoch(2, top1=77.0))
    found = logged(write(tmp_path, *first, *again))
    assert found.steps == (first[0], first[1], *again[:2]) and found.epochs == (first[2], again[2])


def test_a_run_that_went_on_inside_an_epoch_keeps_what_came_before(tmp_path: Path) -> None:
    found = logged(write(tmp_path, step(5), step(10), epoch(1), step(15), step(20), step(18), step(20, loss=0.0)))
    assert [row["step"] for row in found.steps] == [5, 10, 15, 18, 20] and found.steps[-1]["loss"] == 0.0


def test_half_a_line_at_the_end_is_left_out(tmp_path: Path) -> None:
    assert len(logged(write(tmp_path, step(5), end='{"kind": "step", "epo')).steps) == 1


@pytest.mark.parametrize(
    "line", ['{"kind": "step", "epo', "null", '{"kind": "step"}', '{"kind": "x", "epoch": 0, "step": 1}']
)
def test_a_damaged_line_elsewhere_is_named(tmp_path: Path, line: str) -> None:
    end = f"{line}\n{json.dumps(step(6))}\n"
    with pytest.raises(ValueError, match=r"^line 2 of .*metrics.jsonl is damaged: take it out"):
        logged(write(tmp_path, step(5), end=end))


def test_a_run_that_began_at_another_has_the_others_epochs(tmp_path: Path) -> None:
    write(tmp_path, step(15), epoch(2, top1=50.5))
    (tmp_path / "summary.csv").write_text("epoch,step,top1,oscillating\n1,10,40.5,\n2,20,50.5,0.25\n")
    found = logged(tmp_path)
    assert found.epochs[0] == {"kind": "epoch", "epoch": 1, "step": 10, "top1": 40.5}
    assert found.epochs[1] == epoch(2, top1=50.5)


def test_a_table_alone_is_enough(tmp_path: Path) -> None:
    (tmp_path / "summary.csv").write_text("epoch,step,top1\n1,10,40.5\n")
    assert logged(tmp_path).epochs[0]["top1"] == 40.5


@pytest.mark.parametrize("text", [None, "", '{"kind"'])
def test_a_run_that_logged_nothing_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "metrics.jsonl").write_text(text)
    with pytest.raises(ValueError, match="has logged nothing: it stopped before its first line; go on with"):
        logged(tmp_path)


def test_only_finite_numbers_are_numbers() -> None:
    assert [finite(x) for x in (1, 0.5, True, None, "1", float("nan"), float("-inf"))] == [True, True, *[False] * 5]
