"""Means, spreads, and differences of the same seeds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from stillbit.study.paired import T, above, pooled, quantile, sample, within


def test_a_sample_has_mean_and_standard_deviation() -> None:
    found = sample([1.0, 2.0, 6.0])
    assert found is not None and found.spread is not None
    assert (found.seeds, found.mean) == (3, 3.0) and found.spread == pytest.approx(math.sqrt(7))
    assert found.half == pytest.approx(4.303 * math.sqrt(7 / 3))


def test_one_number_has_no_spread_and_none_has_no_mean() -> None:
    found = sample([4.0])
    assert found is not None and (found.spread, found.half) == (None, None)
    assert sample([]) is None


def test_quantiles_are_those_of_student() -> None:
    stats = pytest.importorskip("scipy.stats")
    for freedom in (1, 2, 5, len(T), len(T) + 1, 60, 1000):
        assert quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=6e-4)


def test_a_pooled_spread_weighs_by_degrees_of_freedom() -> None:
    three, two, one = sample([0.0, 1.0, 2.0]), sample([0.0, 4.0]), sample([9.0])
    assert three and two and one
    assert pooled([three, two, one]) == pytest.approx(math.sqrt((2 * 1 + 1 * 8) / 3))
    assert pooled([one]) is None


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([1.0, 1.2, 0.8], "held"),
        ([-1.0, -1.2, -0.8], "not held"),
        ([1.0, -1.2, 0.8], "within noise"),
        ([3.0, 1.0, 0.2], "within noise"),
        ([3.0, 2.0, 0.2, 2.5, 1.5], "held"),
        ([1.0, 1.1], "too few seeds"),
        ([], "too few seeds"),
        ([0.0, 0.0, 0.0], "within noise"),
    ],
)
def test_a_difference_holds_where_its_interval_is_above_zero(differences: list[float], verdict: str) -> None:
    assert above(differences) == verdict


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([0.1, -0.1, 0.05], "held"),
        ([2.0, 2.1, 1.9], "not held"),
        ([-2.0, -2.1, -1.9], "not held"),
        ([0.9, -0.9, 0.4], "within noise"),
        ([0.1, 0.1], "too few seeds"),
    ],
)
def test_as_good_as_holds_where_the_interval_is_inside_the_margin(differences: list[float], verdict: str) -> None:
    assert within(differences, 0.5) == verdict


@pytest.mark.parametrize("seeds", [3, 5])
def test_where_there_is_no_difference_one_in_forty_is_called_held(seeds: int) -> None:
    """The rule errs as often as it says it does."""
    draw = np.random.default_rng(0)
    said = [above(draw.normal(size=seeds).tolist()) for _ in range(4000)]
    for verdict in ("held", "not held"):
        assert said.count(verdict) / len(said) == pytest.approx(0.025, abs=0.0075)


@pytest.mark.parametrize("judge", [above, lambda found: within(found, 10.0)])
def test_what_is_plain_is_held(judge: Callable[[list[float]], str]) -> None:
    assert judge([2.0, 2.1, 1.9, 2.2]) == "held"
