"""``stillbit analyze curves``."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from stillbit.analysis.curves import Curves
from stillbit.analysis.record import read
from tests.cli.command import mistake, works
from tests.cli.tracked_run import found, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs"), "float", "fp --epochs 2")


def test_the_curves_are_those_of_the_summary(run: Path) -> None:
    said = works("analyze curves", run)
    held = read(Curves, run / "analysis" / "curves.json")
    rows = list(csv.DictReader((run / "summary.csv").read_text().splitlines()))
    for name in ("top1", "eval_loss", "train_loss"):
        curve = next(c for c in held.curves if (c.name, c.per) == (name, "epoch"))
        assert curve.values == tuple(float(row[name]) for row in rows)
        assert curve.steps == tuple(int(row["step"]) for row in rows)
    assert held.ended and held.epochs == held.planned == 2 and held.subject == "float"
    assert "2 of 2 epochs" in said and "best top-1" in said


def test_a_run_that_stopped_before_its_first_checkpoint_has_curves(run: Path, tmp_path: Path) -> None:
    for name in ("recipe.json", "metrics.jsonl"):
        (tmp_path / name).write_text((run / name).read_text())
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    (tmp_path / "metrics.jsonl").write_text(lines[0] + "\n" + lines[1][:20])
    held = found("analyze curves", tmp_path)
    assert (held["epochs"], held["ended"], held["best"]) == (0, False, None) and held["curves"]


def test_a_run_that_logged_nothing_is_one_sentence(run: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text((run / "recipe.json").read_text())
    assert "has logged nothing: it stopped before its first line" in mistake("analyze curves", tmp_path)


def test_an_empty_folder_and_a_name_are_no_runs(tmp_path: Path) -> None:
    assert "is no run: it has no recipe.json" in mistake("analyze curves", tmp_path)
    assert "vit_pico_patch4_32 is no run" in mistake("analyze curves vit_pico_patch4_32")


@pytest.mark.parametrize("words", ["--data-dir here", "--checkpoint last", "--device cpu", "--pretrained"])
def test_options_about_a_model_are_refused(run: Path, words: str) -> None:
    assert "curves are read from the log of a run: leave out --" in mistake(f"analyze curves {words}", run)
