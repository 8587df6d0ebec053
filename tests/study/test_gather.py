"""From the folder of a run to a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stillbit.study.commands import record
from stillbit.study.folder import Folder
from stillbit.study.gather import environment, gather, measured
from stillbit.study.jobs import Job
from stillbit.study.standing import Standing
from tests.study.small import planned


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def trained(job: Job, folder: Folder, **more: Any) -> None:
    """A run of two epochs that has ended."""
    run = folder.of(job.key)
    run.mkdir(parents=True)
    rows = [
        {"kind": "step", "epoch": 0, "step": 5, "loss": 1.0, "images_per_second": 80.0},
        {"kind": "epoch", "epoch": 1, "step": 8, "top1": 71.0},
        {"kind": "step", "epoch": 1, "step": 10, "loss": 1.0, "images_per_second": 120.0},
        {"kind": "epoch", "epoch": 2, "step": 16, "top1": 69.0, **more},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = {"epoch": 1, "top1": 71.0, "epochs": 2, "weight_bytes": 1000, "seconds": 12.5}
    (run / "result.json").write_text(json.dumps(result))
    folder.keep(job, Standing(hash=job.hash, status="done", seconds=20.0))


def keep(job: Job, folder: Folder, what: str, said: dict[str, Any]) -> None:
    path = record(job, folder, what)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))


def test_a_run_that_has_ended_is_a_row_of_its_last_and_its_best_epoch(folder: Folder) -> None:
    job = planned()[0]
    trained(job, folder)
    (row,) = gather([job], folder)
    assert (row.top1, row.best, row.best_epoch, row.epochs, row.steps) == (69.0, 71.0, 1, 2, 16)
    assert (row.weight_bytes, row.seconds, row.steps_per_second) == (1000, 12.5, 100.0 / 8)
    assert (row.kind, row.method, row.bits, row.seed, row.status) == ("cell", "lsq", "w4a4", 0, "done")
    assert row.recipe == job.hash[:12]


def test_a_run_with_an_average_is_judged_by_it(folder: Folder) -> None:
    job = planned()[0]
    trained(job, folder, ema_top1=75.0)
    assert gather([job], folder)[0].top1 == 75.0


def test_where_weights_are_quantized_last_the_judge_says_the_accuracy(folder: Folder) -> None:
    job = planned(child="--weights-last")[0]
    trained(job, folder)
    assert gather([job], folder)[0].top1 is None, "the log is about float weights"
    keep(job, folder, "last", {"top1": 50.0})
    assert gather([job], folder)[0].top1 == 50.0


def test_a_run_that_has_not_ended_has_no_numbers(folder: Folder) -> None:
    job = planned()[0]
    trained(job, folder)
    folder.keep(job, Standing(hash=job.hash, status="failed", error="boom", unmeasured={"cost": "why"}))
    (row,) = gather([job], folder)
    assert (row.status, row.top1, row.seconds, row.error) == ("failed", None, None, "boom | cost: why")


def test_what_was_measured_is_read_from_the_records(folder: Folder) -> None:
    job = planned()[0]
    assert measured(job, folder) == {"latent": None}
    keep(job, folder, "cost", {"record": {"bitops": 2.5e9}})
    deviations = [
        {"over": "layers", "deviation": 9.0, "relative": 9.0},
        {"over": "modules", "deviation": 0.5, "relative": 2.0},
    ]
    keep(job, folder, "variation", {"record": {"weights": deviations}})
    lying = [{"weights": 100, "undecided": 0.02}, {"weights": 300, "undecided": 0.0}]
    keep(job, folder, "oscillation", {"record": {"tracked": {"oscillating": 0.07}, "latents": lying}})
    keep(job, folder, "error", {"record": {"weights": [{"relative": 0.1}, {"relative": None}, {"relative": 0.3}]}})
    keep(job, folder, "latent", {"top1": 68.9})
    assert measured(job, folder) == pytest.approx(
        {
            "gbitops": 2.5,
            "sdam": 0.5,
            "sdam_relative": 2.0,
            "oscillation": 7.0,
            "undecided": 0.5,
            "weight_error": 20.0,
            "latent": 68.9,
        }
    )


def test_parents_and_labels_are_rows_too_and_cells_come_first(folder: Folder) -> None:
    jobs = planned(
        parents={"f": "fp"},
        labels={"c": "--teacher @f"},
        child="--labels @c",
        seeds=0,
        data={"d": ""},
        words="--data-dir @d",
    )
    rows = gather(jobs, folder)
    assert [row.kind for row in rows] == ["cell"] * 4 + ["parent", "labels"]
    assert (rows[-2].method, rows[-2].bits, rows[-1].method) == ("f", "float", "c-tiny-seed0")


def test_surroundings_are_the_same_on_another_gpu_and_other_with_another_commit(tmp_path: Path) -> None:
    def of(device: str, commit: str) -> str:
        path = tmp_path / "environment.json"
        path.write_text(json.dumps({"hardware": {"device": device}, "git": {"commit": commit}, "seed": device}))
        return environment(path)

    assert of("cuda:0", "a") == of("cuda:1", "a") != of("cpu", "a")
    assert of("cpu", "a") != of("cpu", "b") and len(of("cpu", "a")) == 12
    assert environment(tmp_path / "none.json") == ""


def test_a_damaged_record_is_named(folder: Folder) -> None:
    job = planned()[0]
    keep(job, folder, "cost", {})
    record(job, folder, "cost").write_text("{")
    with pytest.raises(ValueError, match=r"cost\.json is damaged: remove it"):
        measured(job, folder)
