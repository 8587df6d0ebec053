"""`stillbit labels verify`: bytes, images, classes, and a real teacher that is asked again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.distill import manifest as manifests
from stillbit.distill.store import TARGETS, Store
from tests.cli.command import call, mistake, refused, works
from tests.cli.pictures import pictures
from tests.distill.stores import small, store


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A teacher trained on 16 pictures, and its labels of them."""
    folder = tmp_path_factory.mktemp("made")
    pictures(folder / "images")
    small_run = "--epochs 1 --batch-size 8 --no-aug --workers 0 --warmup-epochs 0 --img-size 32"
    works(
        f"train fp --model vit_pico_patch4_32 {small_run} --experiment teacher --output",
        folder,
        "--data-dir",
        folder / "images",
    )
    options = "--crops 3 --top-k 1 --batch-size 8 --shard-samples 5 --workers 0"
    works(
        f"labels write {options} --teacher",
        folder / "teacher",
        "--data-dir",
        folder / "images",
        "--output",
        folder / "labels",
    )
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made / "labels", tmp_path / "labels")
    shutil.copytree(made / "images", tmp_path / "images")
    return tmp_path


def test_without_data_the_bytes_are_checked_and_what_was_not_is_said(made: Path) -> None:
    said = works("labels verify", made / "labels").splitlines()
    assert said[0] == f"bytes: all {Store(made / 'labels').bytes:,} in 6 files are what was written"
    assert said[1] == "images: not compared; say where they are, --data-dir FOLDER (and --dataset)"


def test_with_data_images_and_classes_are_compared(made: Path) -> None:
    said = works("labels verify", made / "labels", "--data-dir", made / "images").splitlines()
    assert said[1] == "images: the same 16, in the same order, of the same 2 classes"
    assert (
        said[2] == "teacher: fp-vit_pico_patch4_32-seed42 was not asked again; say where it is, --teacher NAME_OR_RUN"
    )


def test_with_the_teacher_its_answers_are_the_same_to_the_bit(made: Path) -> None:
    said = works("labels verify", made / "labels", "--data-dir", made / "images", "--teacher", made / "teacher")
    assert re.search(r"^teacher: says of \d+ views in 4 batches what it said then, to the bit$", said, re.M)


def test_the_size_of_the_sample_is_the_users(made: Path) -> None:
    words = ("--data-dir", made / "images", "--teacher", made / "teacher", "--sample", 100)
    said = works("labels verify", made / "labels", *words)
    assert "teacher: says of 48 views in 7 batches what it said then, to the bit" in said


def test_labels_that_the_teacher_would_not_give_are_told_with_the_difference(copy: Path, made: Path) -> None:
    """Sealed by a liar: checksums fit, images fit, and the probabilities are another's."""
    opened = Store(copy / "labels")
    records = np.concatenate([np.array(opened.shard(number)) for number in range(4)])
    records["probabilities"][0, 0] = 1.0
    targets, wanted = opened.targets(), replace(opened.manifest, shards=())
    shutil.rmtree(copy / "labels")
    store(copy / "labels", wanted, records, targets)
    words = ("--data-dir", copy / "images", "--teacher", made / "teacher", "--sample", 100)
    said = _after_lines("labels verify", copy / "labels", *words)
    largest = re.search(r"the most of \S+/train/a/0.jpg: a probability differs by (\S+), which no rounding does", said)
    assert largest is not None and 0.1 < float(largest[1]) < 1


def test_a_teacher_with_other_weights_is_refused(copy: Path, made: Path) -> None:
    shutil.copytree(made / "teacher", copy / "teacher")
    path = copy / "teacher" / "best.pt"
    held = torch.load(path, weights_only=True)
    held["model"]["head.bias"] += 1
    torch.save(held, path)
    words = ("--data-dir", copy / "images", "--teacher", copy / "teacher")
    assert "with other weights than these" in _after_lines("labels verify", copy / "labels", *words)


def _after_lines(words: str, *more: object) -> str:
    """What is wrong, after the lines about what is right."""
    said = call(words, *more)
    assert said.code == 2 and said.out.startswith("bytes: all") and said.err.count("\n") == 1, said
    return said.err


@pytest.mark.parametrize("name", ["shard-00002.npy", TARGETS])
def test_a_flipped_bit_is_told_with_its_file(copy: Path, name: str) -> None:
    path = copy / "labels" / name
    held = bytearray(path.read_bytes())
    held[-3] ^= 4
    path.write_bytes(held)
    assert f"{path} is damaged: its checksum is another" in mistake("labels verify", copy / "labels")


def test_a_missing_file_an_edited_manifest_and_an_unfinished_store_are_told(copy: Path) -> None:
    folder = copy / "labels"
    (folder / "shard-00001.npy").rename(copy / "aside")
    assert "shard-00001.npy is missing" in mistake("labels verify", folder)
    (copy / "aside").rename(folder / "shard-00001.npy")
    text = (folder / manifests.NAME).read_text()
    (folder / manifests.NAME).write_text(text.replace('"seed": 0', '"seed": 7'))
    assert "its checksum is another" in mistake("labels verify", folder)
    (folder / manifests.NAME).rename(folder / "unfinished.json")
    assert "is not finished: go on with the same stillbit labels write" in mistake("labels verify", folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda root: (root / "a" / "3.jpg").rename(root / "a" / "x.jpg"), "renamed or in another order"),
        (lambda root: (root / "a" / "3.jpg").unlink(), "16 and not 15 (of a 8 and not 7)"),
        (lambda root: shutil.copy(root / "b" / "3.jpg", root / "b" / "33.jpg"), "16 and not 17 (of b 8 and not 9)"),
        (lambda root: (root / "b").rename(root / "c"), "lacks b and adds c"),
    ],
)
def test_images_that_changed_since_are_told(copy: Path, change: Callable[[Path], object], sentence: str) -> None:
    change(copy / "images" / "train")
    assert sentence in _after_lines("labels verify", copy / "labels", "--data-dir", copy / "images")


def test_data_of_another_kind_is_told(copy: Path) -> None:
    assert "and this is digits" in _after_lines("labels verify", copy / "labels", "--dataset", "digits")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--teacher a", "the teacher is asked about images or texts: say where they are"),
        ("--dataset digits --teacher-weights a", "--teacher-weights are those of a teacher: name it"),
        ("--sample 0", "a sample has at least one batch, got 0"),
    ],
)
def test_what_cannot_be_asked_is_refused(words: str, sentence: str) -> None:
    assert sentence in re.sub(r"[\s│]+", " ", refused(f"labels verify store {words}"))


def test_a_store_of_text_is_checked_byte_by_byte(tmp_path: Path) -> None:
    assert "are what was written" in works("labels verify", small(tmp_path))
