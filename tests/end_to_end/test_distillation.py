"""A teacher, its labels, and students of them, on the command line: digits that are read with few bits."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import call, mistake, refused, start, works
from tests.end_to_end.test_torchrun import codes, losses, reaches, rows, same_weights, together

DIGITS = "--dataset digits --workers 0"
SEEN = "--in-chans 1 --img-size 8 --batch-size 64"
CROPS = "--scale 0.5 1 --hflip 0"
WRITE = f"labels write {DIGITS} {CROPS} --crops 6 --batch-size 64 --precision fp32 --shard-samples 100"
LEARN = f"train lsq {DIGITS} {SEEN} --bits w4a4 --log-interval 1 --warmup-epochs 0"
LAST = "--epochs 2 --lr 2e-3 --experiment"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher that can read, the labels it gave, and a student that learned them."""
    made = tmp_path_factory.mktemp("distillation")
    works(
        f"train fp {DIGITS} {SEEN} {CROPS} --epochs 6 --lr 3e-3 --warmup-epochs 1 --experiment teacher --output", made
    )
    works(f"{WRITE} --teacher {made / 'teacher'} --output", made / "labels")
    works(f"{LEARN} --labels {made / 'labels'} {LAST} stored --output", made)
    return made


def top1(run: Path) -> float:
    return float(json.loads((run / "result.json").read_text())["top1"])


def test_a_student_learns_from_stored_labels_what_it_would_from_the_teacher(folder: Path) -> None:
    works(f"{LEARN} {CROPS} --teacher {folder / 'teacher'} --teacher-share 1 {LAST} online --output", folder)
    works(f"{LEARN} {CROPS} {LAST} plain --output", folder)
    teacher, stored, online = (top1(folder / name) for name in ("teacher", "stored", "online"))
    assert teacher > 75 and stored > 60 and abs(stored - online) < 10
    assert "plain" in works("runs", folder) and top1(folder / "plain") > 10


def test_the_labels_are_checked_and_described(folder: Path) -> None:
    works("labels verify", folder / "labels")
    assert "marginal_smoothing" in works("labels info", folder / "labels")


def test_two_processes_learn_from_stored_labels_what_one_does(folder: Path) -> None:
    """In float: at few bits a sum in another order flips a rounding sooner or later."""
    learn = LEARN.replace("train lsq", "train fp").replace("--bits w4a4", f"--labels {folder / 'labels'}")
    works(f"{learn} {LAST} one --output", folder)
    assert codes(together(f"{learn} {LAST} two --batch-size 32 --output {folder}", folder)) == [0, 0], (
        folder / "log0"
    ).read_text()
    assert losses(folder / "two") == pytest.approx(losses(folder / "one"), rel=1e-5)


def test_a_student_that_is_killed_goes_on_to_the_same_bits(folder: Path, tmp_path: Path) -> None:
    words = f"{LEARN} --labels {folder / 'labels'} {LAST} killed --checkpoint-steps 4 --resume auto --output"
    process = start(words, tmp_path, log=tmp_path / "log")
    reaches(tmp_path / "killed", 13)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    works(words, tmp_path)
    assert same_weights(tmp_path / "killed", folder / "stored")
    assert losses(tmp_path / "killed") == losses(folder / "stored")


def test_workers_change_nothing(folder: Path, tmp_path: Path) -> None:
    works(f"{LEARN} --labels {folder / 'labels'} {LAST} many --workers 2 --output", tmp_path)
    assert same_weights(tmp_path / "many", folder / "stored")


def test_the_recipe_of_a_run_repeats_it(folder: Path, tmp_path: Path) -> None:
    works(f"train --recipe {folder / 'stored' / 'recipe.json'} --experiment again --output", tmp_path)
    assert same_weights(tmp_path / "again", folder / "stored")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--crops 5", "a batch of 64 views cannot hold 5 of every image: --batch-size 60"),
        ("--crops 7 --batch-size 70", "has 6 views of an image"),
        ("--scale 0.1 1", "are of crops with --scale 0.5 1, not 0.1 1: leave out --scale"),
        ("--mixup 0.8", "the teacher saw none with --mixup"),
        ("--num-classes 11", "has labels for 10 classes, and the model has 11 outputs"),
        ("--train-split x --dataset folder --data-dir {}", "there is no folder"),
    ],
)
def test_a_mistake_is_one_sentence(options: str, said: str, folder: Path, tmp_path: Path) -> None:
    words = f"{LEARN} --labels {folder / 'labels'} {options.format(folder)} --output"
    assert said in mistake(words, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--labels a --teacher b", "leave out --labels or --teacher"),
        ("--labels a --temperature 2", "--temperature is for a teacher that is asked at every step"),
        ("--crops 2", "give the store too, --labels STORE"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: str, said: str) -> None:
    assert said in " ".join(refused(f"{LEARN} {options}").split())


def test_with_labels_or_a_teacher_a_dry_run_says_what_it_costs(folder: Path) -> None:
    stored = works(f"{LEARN} --labels {folder / 'labels'} --dry-run")
    assert "labels of 6 views an image by" in stored and "images/s" in stored
    assert "taught by" in works(f"{LEARN} --teacher {folder / 'teacher'} --dry-run")


def test_a_run_says_in_its_files_who_taught_it(folder: Path) -> None:
    taught: dict[str, Any] = json.loads((folder / "stored" / "environment.json").read_text())["taught_by"]
    assert taught["labels"] == str(folder / "labels") and len(taught["teachers"]) == 1
    assert len(rows(folder / "stored")) == 42
    assert call("info", folder / "stored").code == 0
