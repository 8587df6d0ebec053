"""What a teacher is shown: crops by (seed, view, image), and the pixels of their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from stillbit.data.crops import cut, random_crop, size_of
from stillbit.data.fractal_cache import FractalSource, render
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, FractalSettings
from stillbit.distill.boxes import crop_of
from stillbit.distill.seen import Images, cut_all
from tests.data.pictures import image
from tests.distill.teachers import LOOK, Zoo, decoded

AUGMENT = AugmentSettings(scale=(0.2, 0.9), vflip=0.5, train_interpolation="bilinear")


def seen(source: Zoo, count: int = 6, look: Look = LOOK, seed: int = 3) -> Images:
    return Images(source, look, AUGMENT, count=count, seed=seed)


def test_view_v_of_image_i_is_the_crop_of_seed_view_and_image() -> None:
    zoo = Zoo(9)
    views = seen(zoo).views(7)
    assert views.boxes is not None and views.flags is not None
    picture = zoo.image(7, 0)
    for view in range(6):
        crop = random_crop(*size_of(picture), AUGMENT, 3, view, 7)
        box = tuple(int(part) for part in views.boxes[view])
        assert crop_of(box, int(views.flags[view]), *size_of(picture)) == crop
        assert torch.equal(views.inputs[view], cut(picture, crop, LOOK.size, "bilinear"))
    assert set(views.flags.tolist()) > {0}, "some are turned"


def test_the_pixels_of_the_boxes_are_those_that_a_student_cuts_later() -> None:
    zoo = Zoo(9)
    views = seen(zoo).views(4)
    again = cut_all(zoo.image(4, 0), views.boxes, views.flags, LOOK, "bilinear")
    assert torch.equal(again, views.inputs)
    some = cut_all(zoo.image(4, 0), views.boxes[2:4], views.flags[2:4], LOOK, "bilinear")
    assert torch.equal(some, views.inputs[2:4])


def test_another_seed_and_another_number_of_crops() -> None:
    """The first crops are the same, however many there are: a larger store contains the smaller one's views."""
    few, many, other = seen(Zoo(4), 3), seen(Zoo(4), 8), seen(Zoo(4), 3, seed=4)
    assert torch.equal(few.views(2).inputs, many.views(2).inputs[:3])
    assert not np.array_equal(few.views(2).boxes, other.views(2).boxes)


def test_an_image_is_decoded_once_for_all_its_crops(tmp_path: Path) -> None:
    seen(Zoo(5, log=tmp_path / "log"), 20).views(3)
    assert decoded(tmp_path / "log") == [3]


def test_grey_teachers_see_grey(tmp_path: Path) -> None:
    look = Look((8, 8), 1, (0.5,), (0.5,))
    assert seen(Zoo(3), look=look).views(0).inputs.shape == (6, 1, 8, 8)
    whole = np.array([[0, 0, 65535, 65535]], np.uint16)
    colour = cut_all(image(9, 7, mode="L"), whole, [0], LOOK, "bicubic")
    assert torch.equal(colour[:, 0], colour[:, 2])


def test_a_damaged_image_has_no_views_and_says_why() -> None:
    views = seen(Zoo(5, damaged=[3])).views(3)
    assert views.damaged == ("animal 3", "it is empty")
    assert not views.inputs.any() and not views.boxes.any()
    assert views.flags.tolist() == [128] * 6


def test_an_image_that_is_too_large_for_boxes_is_a_damaged_one(monkeypatch: pytest.MonkeyPatch) -> None:
    zoo = Zoo(2)
    monkeypatch.setattr(zoo, "image", lambda index, epoch: torch.zeros(3, 1, 40000, dtype=torch.uint8))
    name, reason = seen(zoo).views(1).damaged
    assert name == "animal 1" and "40000 pixels is too large for stored crops" in reason


def test_what_it_says_of_itself() -> None:
    said = seen(Zoo(5))
    assert said.data.count == 5 and said.data.kind == "zoo" and len(said.data.classes) == 7
    assert said.crops.scale == (0.2, 0.9) and said.crops.interpolation == "bilinear" and said.crops.vflip == 0.5
    assert said.targets().tolist() == [0, 1, 2, 3, 4]


def test_images_that_are_drawn_anew_have_no_labels_to_store(tmp_path: Path) -> None:
    made = render(FractalSettings(classes=2, images=2, val_images=1, size=8), tmp_path / "f", workers=0)
    with pytest.raises(ValueError, match="leave out --fresh"):
        seen(FractalSource(made, "train", fresh=True))
