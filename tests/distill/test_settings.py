"""What may be said of teachers and of their labels, and what means nothing or would have no effect."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stillbit.distill.settings import DistillSettings, ImportSettings, TeacherSettings, WriteSettings

OUT = Path("store")


def test_the_defaults_are_those_of_the_published_labels() -> None:
    wanted = WriteSettings(output=OUT)
    assert (wanted.label_kind, wanted.top_k, wanted.crops) == ("marginal_smoothing", 5, 200)
    crops = wanted.augment()
    assert crops.scale == (0.08, 1.0) and crops.ratio == (3 / 4, 4 / 3) and crops.hflip == 0.5
    assert crops.train_interpolation == "bicubic" and crops.aa is None and not crops.reprob


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"crops": 0}, "--crops is at least 1"),
        ({"shard_samples": 0}, "--shard-samples is at least 1"),
        ({"batch_size": -1}, "--batch-size is at least 1"),
        ({"seed": 2**32}, "--seed is a number from 0 to 4294967295"),
        ({"top_k": 0}, "a label keeps 1 to 100 classes, got 0"),
        ({"label_kind": "full", "top_k": 7}, "--top-k is for the marginal kinds, and this is full"),
        ({"scale": (0.5, 0.2)}, "--scale"),
        ({"ratio": (0, 1)}, "--ratio"),
        ({"hflip": 2}, "--hflip"),
    ],
)
def test_what_means_nothing_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        WriteSettings(output=OUT, **said)


def test_no_teacher_and_one_file_for_two_teachers_are_refused() -> None:
    with pytest.raises(ValueError, match="labels need a teacher"):
        TeacherSettings(teacher=())
    with pytest.raises(ValueError, match="is for one teacher, and there are several"):
        TeacherSettings(teacher=("a", "b"), teacher_weights=Path("w.pth"))


STORE = {"labels": OUT}


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"crops": 0, **STORE}, "--crops is at least 1, got 0"),
        ({"temperature": 0.0, "teacher": "t"}, "--temperature is a number above 0, got 0"),
        ({"temperature": float("inf"), "teacher": "t"}, "--temperature is a number above 0, got inf"),
        ({"temperature": float("nan"), "teacher": "t"}, "--temperature is a number above 0, got nan"),
        ({"teacher_share": 0.0, "teacher": "t"}, "--teacher-share is above 0 and at most 1, got 0"),
        ({"teacher_share": 1.1, "teacher": "t"}, "--teacher-share is above 0 and at most 1"),
        ({"teacher": "t", **STORE}, "leave out --labels or --teacher"),
        ({"crops": 2}, "--crops are stored crops of an image: give the store too, --labels STORE"),
        ({"crops": 2, "teacher": "t"}, "--crops are stored crops of an image"),
        ({"distillation": "hard"}, "--distillation has no effect without a teacher: give one, --teacher RUN_OR_NAME"),
        ({"temperature": 2.0}, "--temperature has no effect without a teacher"),
        ({"teacher_share": 1.0}, "--teacher-share has no effect without a teacher"),
        ({"hidden": 1.0}, "--hidden has no effect without a teacher"),
        ({"hidden": 1.0, **STORE}, "--hidden is for a teacher that is asked at every step"),
        ({"hidden": -1.0, "teacher": "t"}, "--hidden is a strength from 0, got -1.0"),
        ({"distillation": "hard", **STORE}, "--distillation is for a teacher that is asked at every step"),
        ({"temperature": 2.0, **STORE}, "--temperature is for a teacher that is asked at every step"),
        ({"distillation": "hard", "temperature": 2.0, "teacher": "t"}, "hard distillation takes the likeliest class"),
    ],
)
def test_a_lesson_that_contradicts_itself_or_would_change_nothing_is_refused(
    said: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        DistillSettings(**said)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {**STORE, "crops": 8},
        {"teacher": "t", "temperature": 4.0, "teacher_share": 1.0},
        {"teacher": "t", "distillation": "hard"},
    ],
)
def test_a_lesson_of_one_kind_is_taken(said: dict[str, Any]) -> None:
    assert DistillSettings(**said).labels == said.get("labels")


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"shard_samples": 0}, "a shard has at least one image, got 0: --shard-samples 1024"),
        ({"scale": (0.9, 0.1)}, "--scale"),
        ({"ratio": (0, 1)}, "--ratio"),
        ({"hflip": -1}, "--hflip"),
    ],
)
def test_what_no_imported_store_can_say_of_itself_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        ImportSettings(output=OUT, **said)


def test_an_import_records_the_crops_that_fkd_drew() -> None:
    assert ImportSettings(output=OUT).scale == (0.08, 0.936) and ImportSettings(output=OUT).interpolation == "bilinear"


def test_a_help_text_needs_no_torch() -> None:
    code = "import sys, stillbit.distill.settings; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
