"""What writing would cost, from the first batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from stillbit.distill import cost
from stillbit.distill.cost import rate
from stillbit.distill.labeller import Labeller
from stillbit.distill.write import request
from tests.distill.teachers import Zoo, decoded, images, panel, settings


def measured(folder: Path, zoo: Zoo, **other: object) -> float:
    wanted = settings(folder / "store", **other)
    seen, asked = images(zoo, wanted), panel()
    with Labeller(seen, asked, request(seen, asked, wanted)) as labeller:
        return rate(labeller)


def test_views_a_second_follow_the_slowest_part(tmp_path: Path) -> None:
    """Here it is the loading: 5 crops of an image in 50 ms."""
    assert 20 < measured(tmp_path, Zoo(30, wait=0.05), batch_size=5, shard_samples=30) < 110
    assert not (tmp_path / "store").exists()


def test_no_more_is_labelled_than_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "BATCHES", 2)
    assert measured(tmp_path, Zoo(500, log=tmp_path / "log"), batch_size=5, shard_samples=500) > 0
    assert len(decoded(tmp_path / "log")) < 20


def test_data_of_one_batch_have_a_rate_too(tmp_path: Path) -> None:
    assert measured(tmp_path, Zoo(1, wait=0.05)) < 100
