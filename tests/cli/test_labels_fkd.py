"""`stillbit labels import-fkd`: from FKD's files to a store, and what is wrong with some."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from stillbit.distill.store import Store
from tests.cli.command import everything, mistake, refused, works
from tests.data.pictures import folder
from tests.distill.test_fkd import Calls, state
from tests.distill.test_fkd_store import CLASSES, published


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return folder(tmp_path / "images", count=3, classes=CLASSES)


def test_a_store_is_made_and_said_what_to_do_with(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "store"
    words = ("--data-dir", images, "--output", out, "--shard-samples", 4, "--teacher", "effnet")
    said = works("labels import-fkd", published(tmp_path / "labels"), *words).splitlines()
    assert said[0].startswith(f"{out}: 18 images x 5 crops, 0.00 MB, 21 bytes a view")
    assert said[1].startswith("The teacher's first guess is the true class in ")
    assert said[-1] == f"stillbit train fp --labels {out} --data-dir {images}"
    assert Store(out).manifest.teachers[0].name == "effnet"
    before = everything(out)
    works("labels import-fkd", tmp_path / "labels", *words)
    assert everything(out) == before
    other = mistake("labels import-fkd", tmp_path / "labels", *words, "--label-kind", "marginal_renorm")
    assert "is another store (--label-kind marginal_smoothing there and marginal_renorm here" in other
    assert "are what was written" in works("labels verify", out, "--data-dir", images)
    assert "FKD" in works("labels info", out)


def test_labels_of_other_classes_are_suspected(images: Path, tmp_path: Path) -> None:
    root = published(tmp_path / "labels", "hard")
    for number, name in enumerate(CLASSES):
        for at in range(3):
            coords, flips, _ = state(crops=5)
            wrong = torch.full((5,), (number + 1) % len(CLASSES)).numpy()
            torch.save([coords, flips, wrong], root / "imagenet" / "train" / name / f"{at}.tar")
    said = works("labels import-fkd", root, "--data-dir", images, "--output", tmp_path / "store")
    assert "the true class in 0.00 %" in said
    assert "That is little: are the class folders those that FKD labelled, and all of them?" in said


def test_a_file_that_would_run_something_is_told_and_leaves_no_store(images: Path, tmp_path: Path) -> None:
    root, mark, out = published(tmp_path / "labels"), tmp_path / "ran", tmp_path / "store"
    torch.save([Calls(Path.touch, mark), *state()[1:]], root / "imagenet" / "train" / "cat" / "1.tar")
    said = mistake("labels import-fkd", root, "--data-dir", images, "--output", out)
    assert "cat/1.tar wants to call " in said and "so it was not opened" in said
    assert not mark.exists() and not (out / "manifest.json").exists()
    assert "is not finished" in mistake("labels info", out)


def test_what_cannot_be_asked_is_refused(images: Path, tmp_path: Path) -> None:
    said = refused("labels import-fkd x --data-dir y --output z --shard-samples 0")
    assert "a shard has at least one image" in said
    said = mistake("labels import-fkd", tmp_path / "gone", "--data-dir", images, "--output", tmp_path / "store")
    assert "there is no folder" in said and not (tmp_path / "store").exists()
