import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.analysis.svg.axis import bands, linear, logarithmic, nice_step, short

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False).filter(lambda value: value == 0 or abs(value) > 1e-9)


@given(st.lists(NUMBERS, min_size=1, max_size=9), st.booleans(), st.booleans())
def test_every_value_has_a_place_on_its_axis(values, zero, tight):
    axis = linear(values, zero=zero, tight=tight)
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in values)
    assert axis.low < axis.high
    assert 1 <= len(axis.ticks) <= 13 or tight


@given(st.lists(st.floats(1e-12, 1e12), min_size=1, max_size=9))
def test_every_positive_value_has_a_place_on_a_logarithmic_axis(values):
    axis = logarithmic(values)
    assert all(-1e-6 <= axis.at(value) <= 1 + 1e-6 for value in values)
    assert 2 <= len(axis.ticks) <= 13


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.0, 1.0), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ((-3.0, 7.0), ["-4", "-2", "0", "2", "4", "6", "8"]),
        ((0.0, 12_000.0), ["0", "5,000", "10,000", "15,000"]),
    ],
)
def test_ticks_are_round_and_have_as_many_digits_as_they_need(values, words):
    assert [word for _, word in linear(values).ticks] == words


def test_an_axis_ends_on_its_values_if_it_is_tight():
    axis = linear((3.0, 97.0), tight=True)
    assert (axis.low, axis.high) == (3.0, 97.0)
    assert [value for value, _ in axis.ticks] == [20.0, 40.0, 60.0, 80.0]


def test_zero_is_on_the_axis_where_it_is_asked_for():
    assert linear((5.0, 9.0), zero=True).at(0.0) == 0.0


def test_equal_values_are_in_the_middle():
    assert linear((4.0, 4.0), tight=True).at(4.0) == pytest.approx(0.5)
    assert linear(()).low < linear(()).high


def test_a_logarithmic_axis_gives_each_power_the_same_room():
    axis = logarithmic((1e3, 1e9))
    assert axis.at(1e6) == pytest.approx((axis.at(1e5) + axis.at(1e7)) / 2)
    assert logarithmic((0.0, -1.0)).low > 0, "what is not above zero has no place"


def test_names_lie_in_the_middle_of_their_bands():
    axis = bands(("a", "b", "c", "d"))
    assert [axis.at(value) for value, _ in axis.ticks] == [0.125, 0.375, 0.625, 0.875]
    assert len(bands([str(index) for index in range(200)], room=40).ticks) == 40


@given(st.floats(1e-12, 1e12))
def test_a_step_is_one_two_or_five_of_a_power_of_ten(least):
    step = nice_step(least)
    assert least * (1 - 1e-6) <= step <= 2.5 * least * (1 + 1e-6)
    mantissa = step / 10 ** math.floor(math.log10(step * (1 + 1e-9)))
    assert any(mantissa == pytest.approx(one) for one in (1, 2, 5, 10))


@pytest.mark.parametrize(
    ("value", "words"),
    [(0, "0"), (1.5, "1.5"), (2_500, "2.5 k"), (3e6, "3 M"), (1.255e9, "1.255 G"), (0.005, "0.005"), (2e-7, "2e-7")],
)
def test_large_and_small_numbers_are_short(value, words):
    assert short(value) == words
