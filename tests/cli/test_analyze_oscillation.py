"""``stillbit analyze oscillation``."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from stillbit.analysis.oscillation import Oscillations
from stillbit.analysis.record import read
from stillbit.train import checkpoint
from tests.cli.command import mistake, works
from tests.cli.tracked_run import found, tracked_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tracked_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def untracked(run: Path) -> Path:
    """The same run, of which the tracker knows nothing."""
    folder = run.parent / "untracked"
    folder.mkdir()
    held = checkpoint.read(run / "last.pt")
    del held["hooks"]["oscillation"]
    checkpoint.write(held, folder / "last.pt")
    for name in ("recipe.json", "metrics.jsonl", "model.safetensors"):
        shutil.copyfile(run / name, folder / name)
    return folder


def test_the_share_is_the_one_that_the_log_ends_with(run: Path) -> None:
    said = works("analyze oscillation", run)
    held = read(Oscillations, run / "analysis" / "oscillation.json")
    rows = list(csv.DictReader((run / "summary.csv").read_text().splitlines()))
    assert held.tracked is not None and held.tracked.oscillating == pytest.approx(float(rows[-1]["oscillating"]))
    assert [m.oscillating for m in held.tracked.moments] == [float(row["oscillating"]) for row in rows]
    assert held.tracked.step == int(rows[-1]["step"]) == held.tracked.looks and len(held.tracked.past_steps) > 2
    assert "Oscillation by layer" in said and "m = 0.01, is above 0.005" in said


def test_an_earlier_checkpoint_has_seen_less(run: Path) -> None:
    seen = found("analyze oscillation --checkpoint best", run)["tracked"]
    held = checkpoint.read(run / "best.pt")
    assert seen["step"] == held["position"]["step"] and len(seen["moments"]) == held["position"]["epoch"]


def test_a_run_that_nobody_tracked_is_one_sentence(untracked: Path) -> None:
    said = mistake("analyze oscillation", untracked)
    assert "nobody tracked the weights of untracked: train with --track, or add --latents-only" in said


def test_where_latents_lie_needs_no_tracker(untracked: Path) -> None:
    for target in (untracked, untracked / "model.safetensors"):
        held = found("analyze oscillation --latents-only --device cpu", target)
        assert held["tracked"] is None and len(held["latents"]) > 3


def test_a_model_without_a_run_has_no_training_to_look_back_on(untracked: Path) -> None:
    said = mistake("analyze oscillation", untracked / "model.safetensors")
    assert "oscillation over a training needs a run" in said


def test_a_float_model_does_not_oscillate() -> None:
    assert "oscillation needs a quantized model" in mistake("analyze oscillation vit_pico_patch4_32")


def test_options_about_images_are_refused(run: Path) -> None:
    assert "looks at no image: leave out --data-dir" in mistake("analyze oscillation --data-dir here", run)


def test_an_empty_folder_is_no_run(tmp_path: Path) -> None:
    assert "is no run: it has no recipe.json" in mistake("analyze oscillation", tmp_path)
