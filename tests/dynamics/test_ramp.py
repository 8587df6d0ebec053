from __future__ import annotations

import math

import pytest

from stillbit.dynamics.ramp import Ramp


def test_it_stands_still_and_then_follows_half_a_cosine_to_the_end() -> None:
    ramp = Ramp(steps=200, last=3.0, first=1.0, after=0.25)
    assert [ramp(step) for step in (0, 49, 50)] == [1.0, 1.0, 1.0] and ramp(200) == 3.0 == ramp(500)
    for step in range(50, 201):
        assert ramp(step) == pytest.approx(1 + 2 * (1 - math.cos(math.pi * (step - 50) / 150)) / 2)


def test_it_may_fall_and_it_may_be_flat() -> None:
    assert [Ramp(steps=4, last=0.0, first=8.0, after=0.0)(step) for step in range(5)] == pytest.approx(
        [8, 4 + 4 * math.cos(math.pi / 4), 4, 4 - 4 * math.cos(math.pi / 4), 0]
    )
    assert Ramp(steps=4, last=2.0, first=2.0).is_flat and not Ramp(steps=4, last=2.0).is_flat
