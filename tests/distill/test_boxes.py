"""Boxes: four fractions of 16 bits from which the same pixels come back."""

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stillbit.data.crops import Crop, random_crop
from stillbit.data.settings import AugmentSettings
from stillbit.distill.boxes import LONGEST, ONE, box_of, crop_of, flags_of, nearest


@st.composite
def crops(draw, longest=LONGEST):
    height, width = (draw(st.integers(1, longest)) for _ in range(2))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    tall, wide = draw(st.integers(1, height - top)), draw(st.integers(1, width - left))
    return Crop(top, left, tall, wide, draw(st.booleans()), draw(st.booleans())), height, width


@settings(max_examples=500)
@given(crops())
@example((Crop(0, 0, LONGEST, LONGEST), LONGEST, LONGEST))
@example((Crop(LONGEST - 1, LONGEST // 2, 1, 1), LONGEST, LONGEST))
def test_every_crop_of_an_image_up_to_the_longest_comes_back_exactly(drawn):
    crop, height, width = drawn
    box = box_of(crop, height, width)
    assert all(0 <= part <= ONE for part in box)
    assert crop_of(box, flags_of(crop), height, width) == crop


@pytest.mark.parametrize("side", [LONGEST, LONGEST - 1, 32000, 30011])
def test_every_edge_of_a_long_side_comes_back(side):
    """All of them: a proof where the test above draws."""
    edges = torch.arange(side + 1)
    # The same arithmetic on whole numbers: nearest, and no tie can occur that matters.
    fractions = (2 * edges * ONE + side) // (2 * side)
    back = (2 * fractions * side + ONE) // (2 * ONE)
    assert torch.equal(back, edges)
    for edge in range(0, side, 997):
        assert nearest(nearest(edge * ONE, side) * side, ONE) == edge


def test_one_pixel_more_is_refused_with_the_size():
    with pytest.raises(ValueError, match="an image of 32768 x 2 pixels is too large for stored crops: at most 32767"):
        box_of(Crop(0, 0, 1, 1), LONGEST + 1, 2)


def test_the_crops_of_training_come_back():
    augment = AugmentSettings(vflip=0.5)
    for index in range(300):
        height, width = 20 + index * 7, 500 - index
        crop = random_crop(height, width, augment, 0, 1, index)
        assert crop_of(box_of(crop, height, width), flags_of(crop), height, width) == crop


@given(crops(longest=600), st.integers(1, 600), st.integers(1, 600))
def test_in_an_image_of_another_size_a_box_is_still_a_crop_inside_it(drawn, height, width):
    crop, was_high, was_wide = drawn
    there = crop_of(box_of(crop, was_high, was_wide), 0, height, width)
    assert there.height >= 1 and there.width >= 1
    assert 0 <= there.top <= there.top + there.height <= height
    assert 0 <= there.left <= there.left + there.width <= width


@given(st.integers(0, 10**12), st.integers(1, 10**6))
def test_nearest_rounds_half_to_even(top, bottom):
    away = 2 * abs(nearest(top, bottom) * bottom - top)
    assert away < bottom or (away == bottom and nearest(top, bottom) % 2 == 0)


def test_nearest_is_what_python_rounds_to_where_floats_are_exact():
    for top in range(0, 400):
        assert nearest(top, 8) == round(top / 8)
