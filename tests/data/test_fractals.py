from __future__ import annotations

import numpy as np
import pytest

from stillbit.data.fractals import Fractals
from stillbit.data.settings import FractalSettings

SETTINGS = FractalSettings(classes=7, size=24)


@pytest.fixture(scope="module")
def fractals() -> Fractals:
    return Fractals(SETTINGS)


def test_an_image_is_the_same_alone_and_in_bulk_and_in_any_order(fractals: Fractals) -> None:
    indices = np.arange(40)
    together = fractals.draw("train", indices)
    assert together.shape == (40, 3, 24, 24) and together.dtype == np.uint8
    assert (fractals.draw("train", indices[::-1])[::-1] == together).all()
    for k in (0, 17, 39):
        assert (Fractals(SETTINGS).draw("train", np.array([k]))[0] == together[k]).all()


def test_split_epoch_seed_and_index_each_give_another_image(fractals: Fractals) -> None:
    one = np.array([3])
    other = Fractals(FractalSettings(classes=7, size=24, seed=1))
    drawn = [
        fractals.draw("train", one),
        fractals.draw("val", one),
        fractals.draw("train", one, epoch=1),
        fractals.draw("train", one + 7),
        other.draw("train", one),
    ]
    assert len({image.tobytes() for image in drawn}) == 5


@pytest.mark.parametrize("size", [8, 9, 31, 64, 100])
def test_any_size_is_drawn(size: int) -> None:
    drawn = Fractals(FractalSettings(classes=3, size=size)).draw("val", np.arange(5))
    assert drawn.shape == (5, 3, size, size) and (drawn.reshape(5, -1).std(1) > 10).all()


def test_more_classes_leave_the_first_ones_as_they_are(fractals: Fractals) -> None:
    more = Fractals(FractalSettings(classes=14, size=24))
    assert (more.draw("train", np.arange(7)) == fractals.draw("train", np.arange(7))).all()
    assert [fractals.label(k) for k in (0, 6, 7, 13)] == [0, 6, 0, 6]


def test_images_differ_within_a_class_and_more_between_classes(fractals: Fractals) -> None:
    """Edges of brightness, averaged over images: a class has a shape, and no two images are alike."""
    images = fractals.draw("train", np.arange(7 * 60)).mean(1)
    edges = abs(np.diff(images, axis=1)[:, :, :-1]) + abs(np.diff(images, axis=2)[:, :-1])
    edges = edges.reshape(60, 7, -1) / edges.reshape(60, 7, -1).mean(-1, keepdims=True)
    first, second = edges[:30].mean(0), edges[30:].mean(0)
    distances = np.linalg.norm(first[:, None] - second[None], axis=-1)
    assert (distances.argmin(1) == np.arange(7)).mean() > 0.7
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_generator_draws_what_it_drew_yesterday(fractals: Fractals) -> None:
    """Cached data sets and published numbers depend on it: if this has to change, so has the FORMAT of the cache."""
    drawn = fractals.draw("train", np.arange(70)).reshape(70, -1).astype(float)
    assert drawn.mean() == pytest.approx(118.048, abs=0.02)
    assert drawn.std(1).mean() == pytest.approx(45.115, abs=0.02)
