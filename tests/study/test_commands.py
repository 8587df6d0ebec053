"""What has to be called for a job."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from stillbit.study.commands import commands, looks_of, measured_by, record
from stillbit.study.folder import Folder
from stillbit.study.jobs import Job
from stillbit.study.settings import MEASURES
from tests.study.small import planned


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def job(index: int = 0, **changes: object) -> Job:
    return planned(**changes)[index]


def test_a_cell_is_trained_in_its_folder_and_goes_on_where_it_was(folder: Folder) -> None:
    found = job(1, parents={"f": "fp --seed 0"}, child="--initial-checkpoint @f")
    first = commands(found, folder, "cuda:1", (), made=False)[0].words
    assert first[:2] == ("train", "lsq") and str(folder.path / "parents" / "f-tiny") in first
    wanted = ("--output", str(folder.path / "runs"), "--experiment", "lsq-tiny-w4a4-seed0", "--resume", "auto")
    assert first[-8:] == (*wanted, "--device", "cuda:1")


def test_data_is_drawn_and_labels_are_written_into_the_study(folder: Folder) -> None:
    found = planned(data={"d": "--classes 4"}, labels={"c": "--data-dir @d"}, child="--labels @c")
    data, labels = (commands(one, folder, "cpu", ("cost",), made=False) for one in found[:2])
    assert [one.words for one in data] == [
        ("data", "fractals", "--output", str(folder.path / "data/d"), "--classes", "4")
    ]
    assert labels[0].words[:4] == ("labels", "write", "--output", str(folder.path / "labels/c"))
    assert labels[0].words[4:] == ("--data-dir", str(folder.path / "data/d"), "--device", "cpu") and len(labels) == 1


def test_what_is_measured_is_what_there_can_be_to_measure() -> None:
    float_cell = job(cells=[{"models": "tiny", "methods": ["fp"], "bits": "w2a2"}])
    assert list(measured_by(float_cell, MEASURES)) == ["cost", "variation"]
    assert list(measured_by(job(), MEASURES)) == ["cost", "variation", "error", "latent"]
    assert "oscillation" in measured_by(job(child="--track"), MEASURES)
    wide = job(child="--track", cells=[{"models": "tiny", "methods": ["lsq"], "bits": "w8a8"}])
    assert "oscillation" not in measured_by(wide, MEASURES)


def test_of_weights_that_are_quantized_last_the_judge_says_the_accuracy() -> None:
    assert list(measured_by(job(child="--weights-last"), ())) == ["last"]


def test_all_looks_are_taken_by_one_process_after_the_training(folder: Folder) -> None:
    train, look = commands(job(), folder, "cpu", ("cost", "latent"), made=False)
    assert not train.looks and look.looks == ("cost", "latent")
    cost, latent = json.loads(look.words[1])
    assert cost["words"][:2] == ["analyze", "cost"] and cost["output"] is None
    assert latent["words"][0] == "evaluate" and "--latent" in latent["words"]
    assert latent["output"] == str(record(job(), folder, "latent"))


def test_a_record_that_is_there_is_not_made_again_unless_it_is_older_than_the_training(folder: Folder) -> None:
    cell = job()
    path, last = record(cell, folder, "cost"), folder.of(cell.key) / "last.pt"
    path.parent.mkdir(parents=True)
    path.touch()
    last.touch()
    os.utime(last, (1, 1))
    assert not looks_of(cell, folder, "cpu", ("cost",), made=True)
    os.utime(path, (0, 0))
    assert looks_of(cell, folder, "cpu", ("cost",), made=True)
    os.utime(path, (2, 2))
    assert looks_of(cell, folder, "cpu", ("cost",), made=False), "a training that goes on makes it old"
