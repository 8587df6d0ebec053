"""Labels and crops against FKD's released `Recover_soft_label` and `RandomResizedCrop_FKD`, as VVTQ uses them."""

import numpy as np
import pytest
import torch
from PIL import Image

from stillbit.data.crops import Crop, cut
from stillbit.distill import fkd
from stillbit.distill.boxes import box_of, crop_of
from stillbit.distill.fkd_store import records_of
from stillbit.distill.layout import Layout, dense, fill

KINDS = {
    "hard": ("hard", 1),
    "smoothing": ("smoothing", 1),
    "marginal_smoothing_k5": ("marginal_smoothing", 5),
    "marginal_smoothing_k10": ("marginal_smoothing", 10),
    "marginal_renorm": ("marginal_renorm", 5),
}


def fkd_crop(data, number, flip=False):
    """The crop that FKD's numbers mean in its image."""
    height, width = data("crop/img").shape[:2]
    top, left, bottom, right = fkd.edges(data("crop/coords").double().numpy(), height, width)[number].tolist()
    return Crop(top, left, bottom - top, right - left, flip)


HALF = 2.0**-11
"""Half a step of 16 bits, relative to the number."""


@pytest.fixture
def data(golden):
    return golden("softlabel")


def layout(name, classes=20):
    kind, k = KINDS[name]
    return Layout(kind=kind, top_k=k, classes=classes)


@pytest.mark.parametrize("name", KINDS)
def test_recovered_labels_are_the_authors(data, name):
    """With their 32 bits in the place of our 16, nothing but the rounding of their float32 is between us."""
    stored, theirs = data(f"label/{name}/in").numpy(), data(f"label/{name}/out", "f64").numpy()
    here = layout(name, int(data("num_classes")))
    wider = [(n, "<f4" if t == "<f2" else t, *shape) for n, t, *shape in here.dtype.descr]
    records = np.zeros(len(stored), np.dtype(wider))
    if name == "hard":
        records["classes"] = stored[:, None]
    else:
        pair = stored.reshape(len(stored), 2, -1)
        records["classes"], records["probabilities"] = pair[:, 0], pair[:, 1]
    np.testing.assert_allclose(dense(records, here), theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", KINDS)
def test_imported_labels_are_the_authors_to_16_bits(data, name):
    stored, theirs = data(f"label/{name}/in").numpy(), data(f"label/{name}/out", "f64").numpy()
    coords = np.tile(np.array([0.0, 0.0, 1.0, 1.0]), (len(stored), 1))
    labels = fkd.Labels(coords, np.zeros(len(stored), bool), stored)
    found = dense(records_of(labels, layout(name), 24, 38), layout(name))
    # What is listed is off by half a step; what shares the rest, by the sum of those, over all who share it.
    np.testing.assert_allclose(found, theirs, rtol=2 * HALF, atol=HALF)


@pytest.mark.parametrize("name", ["smoothing", "marginal_smoothing_k5", "marginal_renorm"])
def test_storing_what_was_recovered_changes_nothing_more_than_16_bits_do(data, name):
    """Not for k = 10: of 20 classes, those that share the rest get more there than the last that is listed."""
    theirs = data(f"label/{name}/out", "f64")
    records = np.zeros(len(theirs), layout(name).dtype)
    fill(records, theirs.float(), layout(name))
    listed = data(f"label/{name}/in").numpy().reshape(len(theirs), 2, -1)[:, 0]
    assert np.array_equal(records["classes"], listed)
    np.testing.assert_allclose(dense(records, layout(name)), theirs.numpy(), rtol=2 * HALF, atol=HALF)


@pytest.mark.parametrize("number", range(7))
def test_pixel_boxes_are_the_authors_even_beyond_the_image_and_on_half_pixels(data, number):
    """Case 5 runs past the image, case 6 has edges on halves, where Pillow rounds to even."""
    height, width = data("crop/img").shape[:2]
    crop = fkd_crop(data, number)
    left, top, right, bottom = data(f"crop/{number}/box").tolist()
    assert (crop.left, crop.top, crop.left + crop.width, crop.top + crop.height) == (left, top, right, bottom)
    assert crop_of(box_of(crop, height, width), 0, height, width) == crop, "a stored box is the same pixels"
    image = Image.fromarray(data("crop/img").numpy())
    assert np.array_equal(image.crop((left, top, right, bottom)), data(f"crop/{number}/cropped"))


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_resized_crops_are_the_authors_to_one_level(data, number, interpolation):
    """Pillow 12 and 13 differ by a level here and there."""
    image = Image.fromarray(data("crop/img").numpy())
    found = cut(image, fkd_crop(data, number), (16, 16), interpolation).permute(1, 2, 0).int()
    assert (found - data(f"crop/{number}/{interpolation}_16").int()).abs().max() <= 1


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("flip", [False, True])
def test_the_pipeline_of_crop_and_flip_is_the_authors_to_one_level(data, number, flip):
    image = Image.fromarray(data("crop/img").numpy())
    theirs = data(f"crop/{number}/pipeline_flip{int(flip)}")
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    found = (cut(image, fkd_crop(data, number, flip), (16, 16), "bilinear") / 255 - mean) / std
    assert ((found - theirs).abs() <= 1.01 / 255 / std).all()
