"""The same images and pixels, however many workers and ranks there are."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.data.batch import Batch
from stillbit.data.folder import Folder
from stillbit.data.loaders import Loader, Place
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.data.sources import open_source
from tests.data.pictures import LOOK, Row, cut_in_half, folder

SETTINGS = DataSettings(batch_size=8, workers=0)
AUGMENT = AugmentSettings(aa="rand-m9-mstd0.5-inc1", color_jitter=0.2, reprob=0.3)


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y) for left, right in zip(a, b, strict=True) for x, y in zip(left[:3], right[:3], strict=True)
    )


@pytest.fixture(scope="module")
def alone() -> list[Batch]:
    return list(Loader(Row(50), LOOK, SETTINGS, AUGMENT, seed=1).epoch(2))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing_in_any_epoch_from_any_step_on(workers: int, alone: list[Batch]) -> None:
    loader = Loader(Row(50), LOOK, replace(SETTINGS, workers=workers), AUGMENT, seed=1)
    abandoned = loader.epoch(7)
    next(abandoned)
    assert same(list(loader.epoch(2, start=2)), alone[2:])
    assert same(list(loader.epoch(2)), alone)


def test_two_ranks_see_together_what_one_process_sees(alone: list[Batch]) -> None:
    half = replace(SETTINGS, batch_size=4)
    ranks = [list(Loader(Row(50), LOOK, half, AUGMENT, seed=1, place=Place(r, 2)).epoch(2)) for r in (0, 1)]
    together = [Batch(*map(torch.cat, list(zip(*parts, strict=True))[:3])) for parts in zip(*ranks, strict=True)]
    assert same(together, alone)


def test_loading_draws_nothing_from_the_generators_that_training_uses() -> None:
    for workers in (0, 1):
        before = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
        list(Loader(Row(20), LOOK, replace(SETTINGS, workers=workers), AUGMENT).epoch(0))
        assert (random.getstate(), str(np.random.get_state())) == before[:2]
        assert torch.equal(torch.get_rng_state(), before[2])


def test_evaluation_has_every_image_in_order_normalised_and_nothing_random() -> None:
    look = Look((16, 16), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    loader = Loader(Row(21), look, SETTINGS)
    batches = list(loader.epoch(0))
    assert len(loader) == 3 and loader.samples == 21
    assert torch.cat([b.indices for b in batches]).tolist() == list(range(21))
    assert torch.cat([b.targets for b in batches]).tolist() == [k % 3 for k in range(21)]
    bytes_ = Loader(Row(21), Look((16, 16), mean=(0,) * 3, std=(1 / 255,) * 3), SETTINGS)
    raw = torch.cat([b.images for b in bytes_.epoch(5)])
    mean, std = (torch.tensor(v)[:, None, None] for v in (look.mean, look.std))
    torch.testing.assert_close(torch.cat([b.images for b in batches]), (raw / 255 - mean) / std)


def test_every_rank_has_as_many_evaluation_batches_and_a_rank_with_nothing_left_gets_padding() -> None:
    loaders = [Loader(Row(17), LOOK, SETTINGS, place=Place(rank, 2)) for rank in (0, 1)]
    first, second = ([b.targets.tolist() for b in loader.epoch(0)] for loader in loaders)
    assert [len(t) for t in first] == [8, 1] and [len(t) for t in second] == [8, 1]
    assert sorted(first[-1] + second[-1]) == [-100, 16 % 3]


def test_a_batch_larger_than_the_data_is_refused_with_one_that_fits() -> None:
    with pytest.raises(ValueError, match=r"a batch of 32 is larger than the data, 21 images: --batch-size 5 or less"):
        Loader(Row(21), LOOK, SETTINGS, AUGMENT, place=Place(0, 4))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    root = folder(tmp_path) / "train"
    cut_in_half(root / "cat" / "1.png")
    (root / "dog" / "3.png").write_bytes(b"")
    return root


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_ends_the_run(workers: int, damaged: Path) -> None:
    settings = replace(SETTINGS, batch_size=4, workers=workers)
    with pytest.raises(ValueError) as caught:
        list(Loader(Folder(damaged), LOOK, settings).epoch(0))
    said = str(caught.value)
    assert str(damaged / "cat" / "1.png") in said and "--corrupt skip" in said and "\n" not in said


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_left_out_named_and_counted_where_that_is_wished(workers: int, damaged: Path) -> None:
    settings = replace(SETTINGS, batch_size=4, workers=workers, corrupt="skip")
    loader = Loader(Folder(damaged), LOOK, settings)
    for _ in range(2):
        assert torch.cat([b.indices for b in loader.epoch(0)]).tolist() == [0, 2, 3, 4, 5, 6]
    assert [name for name, _ in loader.damaged] == [str(damaged / "cat" / "1.png"), str(damaged / "dog" / "3.png")]


def test_training_cannot_go_on_with_a_batch_in_which_everything_is_damaged(tmp_path: Path) -> None:
    root = folder(tmp_path, count=1) / "train"
    for file in root.rglob("*.png"):
        file.write_bytes(b"")
    loader = Loader(Folder(root), LOOK, replace(SETTINGS, batch_size=2, corrupt="skip"), AugmentSettings())
    with pytest.raises(ValueError, match="every image of a batch is damaged"):
        list(loader.epoch(0))


def test_the_digits_go_through_a_loader() -> None:
    settings = DataSettings(dataset="digits", batch_size=64, workers=0)
    loader = Loader(open_source(settings, "val"), Look((8, 8), 1, (0.5,), (0.5,)), settings)
    images = torch.cat([b.images for b in loader.epoch(0)])
    assert images.shape == (450, 1, 8, 8)
    assert images.min().item() == pytest.approx(-1) and images.max().item() == pytest.approx(1)


@pytest.mark.gpu
def test_batches_arrive_on_the_device(alone: list[Batch]) -> None:
    loader = Loader(Row(50), LOOK, replace(SETTINGS, workers=1), AUGMENT, seed=1, place=Place(device="cuda"))
    for there, here in zip(loader.epoch(2), alone, strict=True):
        assert there.images.is_cuda and there.targets.is_cuda
        torch.testing.assert_close(there.images.cpu(), here.images)
