"""What an export works on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stillbit.cli.export import Export
from stillbit.cli.export_work import opened, work_of
from tests.cli.deployed_run import run


def said(words: str) -> None:
    """Nobody listens."""


def test_images_are_those_of_the_runs_own_validation() -> None:
    work = work_of(opened(run(), "best"), Export(target=run(), samples=10, images=0), said).work
    assert work.images.shape == (10, 1, 8, 8) and work.images.dtype == np.float32
    assert work.told.labels is not None and sorted(work.told.labels.tolist()) == list(range(10)), "one of each class"
    assert work.about.classes == tuple("0123456789") and not list(work.told.more)
    assert work.told.seen == "validation images of digits"


def test_further_images_are_read_when_they_are_asked_for() -> None:
    work = work_of(opened(run(), "best"), Export(target=run(), samples=2, images=100), said).work
    more = list(work.told.more)
    assert [len(images) for images, _ in more] == [64, 36] and len(work.images) == 2


def test_fewer_images_than_were_asked_for_are_all_there_are() -> None:
    work = work_of(opened(run(), "best"), Export(target=run(), samples=1, images=9999), said).work
    assert sum(len(images) for images, _ in work.told.more) == 450


def test_the_model_is_on_the_cpu_and_in_eval_mode() -> None:
    subject = opened(run(), "last")
    assert not subject.model.training and next(subject.model.parameters()).device.type == "cpu"


def test_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no run and no file"):
        opened(tmp_path / "gone", "best")
