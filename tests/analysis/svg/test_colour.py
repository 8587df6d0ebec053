import itertools

import pytest

from stillbit.analysis.svg.colour import contrast, ink_on, luminance, ramp, series


def test_black_on_white_has_the_largest_contrast_there_is():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01), "WCAG's own example"


def test_an_amount_gets_darker_step_by_step():
    light = [luminance(ramp(index / 40)) for index in range(41)]
    assert all(a > b for a, b in itertools.pairwise(light))


def test_a_change_is_lightest_where_there_is_none_and_as_dark_on_both_sides():
    light = [luminance(ramp(index / 40, "change")) for index in range(41)]
    assert max(light) == light[20]
    assert light[0] == pytest.approx(light[40], abs=0.05)


@pytest.mark.parametrize("kind", ["amount", "change"])
def test_words_on_every_colour_can_be_read(kind):
    ink = {"deep": "#000000", "pale": "#ffffff"}
    colours = [ramp(index / 100, kind) for index in range(101)]
    assert min(contrast(colour, ink[ink_on(colour)]) for colour in colours) >= 4.5


def test_what_lies_outside_of_a_ramp_has_the_colour_of_its_end():
    assert ramp(-1.0) == ramp(0.0)
    assert ramp(2.0) == ramp(1.0)


def test_the_ninth_thing_has_the_first_colour_in_dashes():
    assert [series(index) for index in (0, 7, 8, 16)] == ["s0", "s7", "s0 again", "s0"]
