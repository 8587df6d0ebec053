from xml.etree import ElementTree

import pytest

from stillbit.analysis.svg import marks
from stillbit.analysis.svg.axis import bands, linear
from stillbit.analysis.svg.colour import ramp
from stillbit.analysis.svg.plane import Plane

PLANE = Plane(x=linear((0.0, 10.0)), y=linear((0.0, 10.0)), left=0.0, top=0.0, width=100.0, height=100.0)
GRID = Plane(x=bands("abc"), y=bands("de"), left=0.0, top=0.0, width=90.0, height=60.0, down=True)


def drawn(markup):
    return ElementTree.fromstring(markup)


def places(one):
    return [tuple(map(float, pair.split(","))) for pair in one.attrib["points"].split()]


def test_a_line_goes_through_its_points_and_has_a_name():
    line = drawn(marks.line(PLANE, ((0.0, 0.0), (5.0, 10.0), (10.0, 5.0)), "<run>", "s1"))
    assert places(line) == [(0.0, 100.0), (50.0, 0.0), (100.0, 50.0)]
    assert line.attrib["data-name"] == "<run>"


def test_a_line_of_one_point_is_a_dot():
    assert drawn(marks.line(PLANE, ((5.0, 5.0),), "once", "s0"))[0].tag == "circle"


def test_a_bar_is_as_long_as_its_value_on_either_side_of_zero():
    plane = Plane(x=linear((-10.0, 10.0)), y=bands("ab"), left=0.0, top=0.0, width=100.0, height=40.0, down=True)
    right, left = (drawn(marks.bar(plane, (0.6, 1.4), (0.0, end), "says", "s0")).attrib for end in (5.0, -5.0))
    assert (float(right["x"]), float(right["width"])) == (50.0, 25.0)
    assert (float(left["x"]), float(left["width"])) == (25.0, 25.0)
    assert (float(left["y"]), float(left["height"])) == (pytest.approx(22.0), pytest.approx(16.0))


def test_every_mark_says_its_value():
    for mark in (
        marks.bar(PLANE, (0.0, 1.0), (0.0, 1.0), "42 <b>", "s0"),
        marks.dot(PLANE, (1.0, 1.0), "42 <b>", "s0"),
        marks.row_of_cells(GRID, 0, "row", [marks.Cell(0, 0.5, "42 <b>")]),
        marks.ridge(GRID, 0.4, 20.0, (0.0, 1.0, 2.0), (1.0, 2.0), "42 <b>"),
    ):
        assert next(drawn(mark).iter("title")).text == "42 <b>"


def test_a_histogram_is_as_high_over_each_bin_as_it_counts():
    outline = drawn(marks.histogram(PLANE, (0.0, 5.0, 10.0), (2.0, 8.0), "share", "s0"))
    assert outline.attrib["d"] == "M0 100V80H50.0V20H100.0V100Z"
    assert outline.attrib["data-name"] == "share"


def test_a_ridge_is_tallest_where_it_counts_most():
    hill = places(drawn(marks.ridge(GRID, 0.5, 20.0, (0.0, 1.0, 2.0), (1.0, 2.0), "says")))
    assert [y for _, y in hill] == [30.0, 20.0, 10.0, 30.0]


def test_a_plain_between_hills_needs_two_points():
    hill = places(drawn(marks.ridge(GRID, 0.5, 20.0, range(9), (0, 0, 0, 0, 4, 4, 4, 0), "says")))
    assert [y for _, y in hill] == [30, 30, 30, 10, 10, 30, 30], "and its ends"


def test_a_cell_has_the_colour_of_its_share_and_its_words_where_they_fit():
    cells = [marks.Cell(1, 0.25, "says", "0.2"), marks.Cell(2, 0.5, "says", "0.200000")]
    row = drawn(marks.row_of_cells(GRID, 0, "<row>", cells))
    assert row.attrib["data-row"] == "<row>"
    assert [one.attrib["fill"] for one in row.iter("path")] == [ramp(0.25), ramp(0.5)]
    assert [one.text for one in row.iter("text")] == ["0.2"]


def test_names_beside_dots_do_not_lie_on_each_other_or_outside():
    points = [(9.5, 5.0, "a long name"), (9.4, 5.1, "another name"), (0.1, 5.0, "left")]
    words = list(drawn(marks.names_beside(PLANE, points)).iter("text"))
    left, right = sorted(words, key=lambda one: one.text == "left", reverse=True)[0], words
    assert float(left.attrib["x"]) > 0
    heights = sorted(float(one.attrib["y"]) for one in right if one.text != "left")
    assert heights[1] - heights[0] >= 11.99
    assert all(float(one.attrib["x"]) < 100 for one in words)


def test_a_rule_crosses_the_box_at_its_value():
    across = drawn(marks.rule(PLANE, y=5.0, words="half")).find("line").attrib
    upright = drawn(marks.rule(PLANE, x=2.0)).find("line").attrib
    assert (across["y1"], across["y2"], across["x2"]) == ("50", "50", "100")
    assert (upright["x1"], upright["x2"]) == ("20", "20")


def test_a_scale_says_what_its_ends_mean():
    assert [one.text for one in drawn(marks.scale(50.0, 0.0, "few", "many")).iter("text")] == ["few", "many"]
