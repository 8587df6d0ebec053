import re

import pytest

from stillbit.analysis.svg.colour import contrast
from stillbit.analysis.svg.theme import DARK, LIGHT, SERIES, figure_style, page_file, plain_style, variables

THEMES = {"light": LIGHT, "dark": DARK}


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize("words", ["ink", "quiet", "link", "warn"])
def test_words_can_be_read_in_both_themes(theme, ground, words):
    assert contrast(THEMES[theme][words], THEMES[theme][ground]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_marks_stand_out_from_the_paper(theme):
    assert min(contrast(THEMES[theme][name], THEMES[theme]["paper"]) for name in SERIES) >= 3.0


def test_both_themes_name_the_same_colours():
    assert LIGHT.keys() == DARK.keys()
    assert len(SERIES) == 8


def test_every_colour_that_a_style_asks_for_exists():
    asked = set(re.findall(r"var\(--(\w+)\)", figure_style() + page_file("report.css")))
    assert asked <= LIGHT.keys()
    assert all(f"--{name}:" in variables() for name in asked)


def test_a_picture_on_its_own_needs_no_variables():
    assert "var(" not in plain_style()
    assert LIGHT["s0"] in plain_style()
