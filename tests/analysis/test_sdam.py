"""SDAM as a reader computes it by hand."""

from __future__ import annotations

import math

import pytest

from stillbit.analysis.sdam import Loudness, deviation, over, sdam

PARTS = (
    Loudness("a", "query", 0, 1.0, 10),
    Loudness("a", "query", 1, 3.0, 10),
    Loudness("a", "key", 0, 2.0, 10),
    Loudness("a", "key", 1, 2.0, 10),
    Loudness("b", "fc1", None, 6.0, 30),
)


def test_the_deviation_is_that_of_all_parts_and_not_of_a_sample() -> None:
    assert deviation([1.0, 3.0]) == 1.0
    assert deviation([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]) == 2.0
    assert deviation([5.0]) == 0.0


def test_a_model_of_five_parts_is_computed_by_hand() -> None:
    found = {one.over: one for one in sdam(PARTS)}
    assert set(found) == {"modules", "layers", "roles", "heads"}
    # Modules 1, 3, 2, 2, 6: mean 2.8, squares 3.24 + 0.04 + 0.64 + 0.64 + 10.24 = 14.8.
    assert found["modules"].deviation == pytest.approx(math.sqrt(14.8 / 5), rel=1e-12)
    assert found["modules"].relative == pytest.approx(math.sqrt(14.8 / 5) / 2.8, rel=1e-12)
    assert (found["modules"].parts, found["modules"].sets, found["modules"].mean) == (5, 1, pytest.approx(2.8))
    # Layers: a has 2 over its 40 numbers, b has 6.
    assert found["layers"].deviation == pytest.approx(2.0) and found["layers"].mean == pytest.approx(4.0)
    # Roles 2, 2, 6: mean 10 / 3.
    assert found["roles"].deviation == pytest.approx(math.sqrt(32 / 9), rel=1e-12)
    # Heads: queries deviate by 1, keys by nothing.
    assert found["heads"].deviation == 0.5 and found["heads"].relative == 0.25
    assert (found["heads"].parts, found["heads"].sets) == (4, 2)


def test_a_role_is_weighed_by_its_numbers() -> None:
    parts = [
        Loudness("a", "fc1", None, 1.0, 30),
        Loudness("b", "fc1", None, 5.0, 10),
        Loudness("c", "fc2", None, 4.0, 1),
    ]
    found = {one.over: one for one in sdam(parts)}
    assert found["roles"].mean == pytest.approx((2.0 + 4.0) / 2) and found["roles"].deviation == pytest.approx(1.0)


def test_the_relative_form_does_not_see_the_unit() -> None:
    louder = [part._replace(mean=100 * part.mean) for part in PARTS]
    for one, other in zip(sdam(PARTS), sdam(louder), strict=True):
        assert other.relative == pytest.approx(one.relative, rel=1e-12)
        assert other.deviation == pytest.approx(100 * one.deviation, rel=1e-12)


def test_one_part_has_nothing_to_deviate_from() -> None:
    assert sdam(PARTS[:1]) == ()
    assert over("heads", [(1.0,), (2.0,)]) is None


def test_parts_of_zeros_deviate_by_zero() -> None:
    one = over("layers", [(0.0, 0.0)])
    assert one is not None and one.deviation == one.relative == 0.0
