"""What a run writes down is true, once."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from stillbit.data.batch import Batch
from stillbit.train.distributed import Share
from stillbit.train.hooks import Hook
from stillbit.train.log import Log, Means
from stillbit.train.progress import Progress
from stillbit.train.state import Training
from stillbit.train.task import Losses
from tests.train import tiny

SECOND = Share(1, 2, torch.device("cpu"))


def log(folder: Path, interval: int = 4, share: Share = tiny.ALONE) -> Log:
    progress = Progress(Console(file=io.StringIO(), quiet=True), 3, 6)
    return Log(folder, tiny.loader(), share, interval, progress)


def said(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


class Counting:
    """Two losses that are the number of the step, and its square."""

    def __init__(self) -> None:
        self.step = 0

    def prepare(self, batch: Batch) -> Batch:
        self.step += 1
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        nothing = model(batch.images).sum() * 0
        return {"count": nothing + self.step, "square": nothing + self.step**2}


class Judge(Hook):
    """Gives every epoch a score."""

    def after_epoch(self, training: Training) -> None:
        training.scores = {"top1": 10.0 * training.epoch, "images": 9}


def test_a_line_has_the_means_since_the_line_before_and_an_epoch_those_of_the_epoch(tmp_path: Path) -> None:
    run = tiny.training()
    tiny.fit(tiny.loop(Counting(), [Judge(), log(tmp_path)]), run, tiny.loader(), 2)
    rows = said(tmp_path)
    assert [(row["kind"], row["step"], row["epoch"]) for row in rows] == [
        ("step", 4, 0),
        ("epoch", 6, 1),
        ("step", 8, 1),
        ("step", 12, 1),
        ("epoch", 12, 2),
    ]
    steps = [row for row in rows if row["kind"] == "step"]
    assert [row["count"] for row in steps] == [2.5, 6.5, 10.5] and steps[0]["square"] == 7.5
    epochs = [row for row in rows if row["kind"] == "epoch"]
    assert [row["train_count"] for row in epochs] == [3.5, 9.5] and [row["top1"] for row in epochs] == [10, 20]
    assert all(row["images_per_second"] > 0 for row in steps) and "images" not in epochs[0]
    assert epochs[1]["lr"] == run.optimizer.param_groups[0]["lr"]


def test_the_table_has_a_row_an_epoch_with_what_the_lines_say(tmp_path: Path) -> None:
    tiny.fit(tiny.loop(Counting(), [Judge(), log(tmp_path)]), tiny.training(), tiny.loader(), 2)
    head, *rows = (tmp_path / "summary.csv").read_text().splitlines()
    assert head == "epoch,step,train_count,train_square,top1,lr"
    assert [row.split(",")[:3] for row in rows] == [["1", "6", "3.5"], ["2", "12", "9.5"]]


def test_damaged_images_get_a_column_once_there_are_some(tmp_path: Path) -> None:
    class Damage(Hook):
        def after_epoch(self, training: Training) -> None:
            if training.epoch == 2:
                training.damaged = 1

    writer = log(tmp_path)
    tiny.fit(tiny.loop(hooks=[Judge(), Damage(), writer]), tiny.training(), tiny.loader(), 2)
    head, first, second = (tmp_path / "summary.csv").read_text().splitlines()
    assert head.endswith(",damaged") and first.endswith(",") and second.endswith(",1")
    assert [row["damaged"] for row in said(tmp_path) if row["kind"] == "epoch"] == [0, 1]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_ends_the_run_with_one_sentence(value: float, tmp_path: Path) -> None:
    writer, run = log(tmp_path, interval=1), tiny.training()
    with pytest.raises(ValueError) as caught:
        writer.after_step(Training(run.model, run.model, run.optimizer, step=1), {"loss": torch.tensor(value)})
    assert "loss became" in str(caught.value) and "lower --lr" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_no_checkpoint_is_made_of_a_run_whose_loss_is_no_number(tmp_path: Path) -> None:
    writer, run = log(tmp_path), tiny.training()
    run.step = 1
    writer.after_step(run, {"loss": torch.tensor(float("nan"))})
    with pytest.raises(ValueError, match="loss became nan"):
        writer.state()


def test_a_process_that_does_not_lead_writes_nothing(tmp_path: Path) -> None:
    tiny.fit(tiny.loop(hooks=[Judge(), log(tmp_path, share=SECOND)]), tiny.training(), tiny.loader(), 2)
    assert not tiny.files(tmp_path)


def test_a_run_that_begins_again_replaces_what_it_wrote_before(tmp_path: Path) -> None:
    for _ in range(2):
        tiny.fit(tiny.loop(hooks=[Judge(), log(tmp_path)]), tiny.training(), tiny.loader(), 1)
    assert [row["step"] for row in said(tmp_path)] == [4, 6]


def test_before_its_first_line_a_log_leaves_the_file_alone(tmp_path: Path) -> None:
    """A second process may have opened the folder of a run that is alive, and is about to be sent away."""
    first = log(tmp_path)
    run = tiny.training()
    tiny.fit(tiny.loop(hooks=[Judge(), first]), run, tiny.loader(), 1)
    held = first.state()
    tiny.fit(tiny.loop(hooks=[Judge(), first]), run, tiny.loader(), 2)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    log(tmp_path).load_state(held)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_the_state_survives_json_and_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    one, other, run = log(tmp_path), log(tmp_path), tiny.training()
    run.step = 4
    for number in (1.0, 2.0, 3.0):
        one.after_step(run, {"loss": torch.tensor(number)}) if number == 1 else one.waiting.append(
            {"loss": torch.tensor(number)}
        )
    other.load_state(json.loads(json.dumps(one.state())))
    assert other.line == one.line and other.epoch == one.epoch and other.written == one.written > 0
    assert other.epoch.take() == {"loss": 2.0}
    other.load_state({})


def test_means_are_sums_over_counts_and_begin_anew() -> None:
    means = Means()
    means.add({"a": 3.0}, 2)
    means.add({"a": 1.0}, 2)
    assert means.take() == {"a": 1.0} and means.take() == {}
