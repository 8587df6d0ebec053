from xml.etree import ElementTree

import pytest

from stillbit.analysis.plot.charts import Bar, Dot, Heat, Part, Series, Words, bars, heat, lines, scatter
from stillbit.analysis.svg.colour import ramp

SAID = Words(title="T", about="A", x="x", y="y")
NAMES = {"s": "http://www.w3.org/2000/svg"}


def drawn(svg):
    return ElementTree.fromstring(svg)


def words(svg):
    return [one.text for one in drawn(svg).iter("{http://www.w3.org/2000/svg}text")]


def titles(svg):
    return [one.text for one in drawn(svg).iter("{http://www.w3.org/2000/svg}title")][1:]


def test_lines_have_a_legend_only_where_there_are_several():
    one = Series("first", ((0.0, 1.0), (1.0, 2.0)))
    assert "first" not in words(lines(SAID, [one]))
    assert "first" in words(lines(SAID, [one, Series("second", ((0.0, 2.0), (1.0, 3.0)))]))


def test_an_empty_line_is_left_out():
    held = drawn(lines(SAID, [Series("empty", ()), Series("full", ((0.0, 1.0), (1.0, 2.0)))]))
    assert [one.attrib["data-name"] for one in held.iter("{http://www.w3.org/2000/svg}polyline")] == ["full"]


def test_parts_of_a_bar_follow_each_other():
    held = drawn(bars(SAID, [Bar("a", (Part(1.0, "one"), Part(3.0, "three", "s1")))]))
    one, three = (rect.attrib for rect in held.findall(".//s:g/s:rect", NAMES))
    assert float(one["x"]) + float(one["width"]) == pytest.approx(float(three["x"]), abs=0.02)
    assert float(three["width"]) == pytest.approx(3 * float(one["width"]), abs=0.05)


def test_a_heat_map_leaves_unknown_cells_empty_and_says_the_others():
    svg = heat(SAID, Heat(("r0", "r1"), ("c0", "c1"), ((0.0, 1.0), (None, 4.0))), unit=" dB")
    assert titles(svg) == ["c0: 0 dB", "c1: 1 dB", "c1: 4 dB"]
    assert [row.attrib["data-row"] for row in drawn(svg).iter() if "data-row" in row.attrib] == ["r0", "r1"]
    assert f'fill="{ramp(0.0)}"' in svg and f'fill="{ramp(0.25)}"' in svg
    assert "0 dB" in words(svg) and "4 dB" in words(svg)


def test_no_change_has_the_colour_in_the_middle():
    svg = heat(SAID, Heat(("r",), ("a", "b"), ((-2.0, 0.0),)), ramp="change")
    assert f'fill="{ramp(0.5, "change")}"' in svg
    assert {"-2", "2"} <= set(words(svg))


def test_equal_reach_draws_the_line_on_which_both_are_equal():
    svg = scatter(SAID, [Dot(1.0, 4.0, "a", "says a")], even=True)
    assert 'data-name="equal"' in svg
    assert titles(svg) == ["says a"]


def test_dots_are_named_if_so_wished():
    dots = [Dot(1.0, 4.0, "a name", "says a")]
    assert "a name" in words(scatter(SAID, dots))
    assert "a name" not in words(scatter(SAID, dots, named=False))


def test_a_logarithmic_axis_is_linear_where_zero_has_to_have_a_place():
    said = Words(title="T", about="A", x="x", y="y", log_x=True)
    assert words(scatter(said, [Dot(0.0, 1.0, "", "a"), Dot(9.0, 2.0, "", "b")])).count("0") >= 1


def test_a_sample_is_drawn_as_points_that_can_be_read_off():
    svg = lines(SAID, [Series("some", ((0.0, 1.0), (4.0, 2.0), (9.0, 3.0)))], joined=False)
    (unseen,) = drawn(svg).iter("{http://www.w3.org/2000/svg}polyline")
    assert unseen.attrib["class"] == "line unseen" and unseen.attrib["data-name"] == "some"
    assert svg.count("h0") == 3
