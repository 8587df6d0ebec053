from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from timm.data import create_transform
from torchvision.transforms.v2 import RandomResizedCrop
from torchvision.transforms.v2 import functional as F

from stillbit.data.crops import Crop, centre, cut, pixels_of, random_crop, size_of
from stillbit.data.settings import AugmentSettings
from tests.data.pictures import image, pixels

sides = st.integers(1, 300)


@given(sides, sides, st.floats(0.01, 1), st.floats(0.2, 5), st.integers(0, 1000))
def test_a_crop_lies_inside_its_image(height: int, width: int, low: float, narrow: float, key: int) -> None:
    crop = random_crop(height, width, AugmentSettings(scale=(low, 1.0), ratio=(narrow, 5.0)), key)
    assert crop.top >= 0 and crop.height >= 1 and crop.top + crop.height <= height
    assert crop.left >= 0 and crop.width >= 1 and crop.left + crop.width <= width


def test_crops_are_distributed_as_torchvisions() -> None:
    augment = AugmentSettings(scale=(0.2, 0.9), ratio=(0.5, 2.0))
    ours = np.array([random_crop(60, 100, augment, k)[:4] for k in range(4000)])
    transform = RandomResizedCrop(8, augment.scale, augment.ratio)
    picture = [torch.zeros(3, 60, 100)]
    drawn = [transform.make_params(picture) for _ in range(4000)]
    theirs = np.array([[d[k] for k in ("top", "left", "height", "width")] for d in drawn])
    for a, b in zip(ours.T, theirs.T, strict=True):
        spread = b.std() / 4000**0.5
        assert abs(a.mean() - b.mean()) < 5 * spread
        assert abs(np.quantile(a, [0.1, 0.5, 0.9]) - np.quantile(b, [0.1, 0.5, 0.9])).max() < 10 * spread


@pytest.mark.parametrize(
    ("height", "width", "box"), [(10, 100, (0, 43, 10, 13)), (100, 10, (43, 0, 13, 10)), (30, 30, (0, 0, 30, 30))]
)
def test_where_no_crop_fits_it_is_the_widest_in_the_middle(
    height: int, width: int, box: tuple[int, int, int, int]
) -> None:
    """As torchvision does it: ten tries for the whole area of a long strip fail."""
    assert random_crop(height, width, AugmentSettings(scale=(1.0, 1.0), hflip=0), 0)[:4] == box or height == width


def test_flips_come_as_often_as_asked() -> None:
    augment = AugmentSettings(hflip=0.25, vflip=0.75)
    drawn = [random_crop(9, 9, augment, key) for key in range(4000)]
    assert np.mean([c.flip for c in drawn]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([c.upside_down for c in drawn]) == pytest.approx(0.75, abs=0.03)
    assert not any(random_crop(9, 9, AugmentSettings(hflip=0), key).flip for key in range(50))


@pytest.mark.parametrize("as_tensor", [True, False])
def test_a_cut_is_torchvisions_crop_resize_and_flip(as_tensor: bool) -> None:
    picture = pixels(40, 50) if as_tensor else image(40, 50)
    wanted = pixels_of(F.resized_crop(picture, 3, 5, 30, 20, [16, 12], F.InterpolationMode.BICUBIC, antialias=True))
    assert torch.equal(cut(picture, Crop(3, 5, 30, 20), (16, 12), "bicubic"), wanted)
    assert torch.equal(cut(picture, Crop(3, 5, 30, 20, flip=True), (16, 12), "bicubic"), wanted.flip(-1))
    both = cut(picture, Crop(3, 5, 30, 20, flip=True, upside_down=True), (16, 12), "bicubic")
    assert torch.equal(both, wanted.flip(-1, -2))


def test_a_crop_of_the_right_size_is_not_resampled() -> None:
    picture = pixels(40, 50)
    assert torch.equal(cut(picture, Crop(2, 3, 16, 12), (16, 12), "bicubic"), picture[:, 2:18, 3:15])


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
@pytest.mark.parametrize("crop_pct", [1.0, 0.875, 0.7])
@pytest.mark.parametrize("shape", [(40, 61), (61, 40), (20, 20), (32, 32), (47, 80)])
def test_evaluation_sees_what_timm_shows(size: tuple[int, int], crop_pct: float, shape: tuple[int, int]) -> None:
    picture = image(*shape)
    transform = create_transform(
        (3, *size), is_training=False, interpolation="bicubic", crop_pct=crop_pct, use_prefetcher=True
    )
    assert (centre(picture, size, crop_pct, "bicubic").numpy() == np.asarray(transform(picture))).all()


def test_sizes_are_height_and_width() -> None:
    assert size_of(pixels(4, 7)) == size_of(image(4, 7)) == (4, 7)
