from xml.etree import ElementTree

import pytest

from stillbit.analysis.markup import tag
from stillbit.analysis.svg.axis import bands, linear, logarithmic
from stillbit.analysis.svg.plane import WIDTH, Plane, cut, legend, picture

PLANE = Plane(
    x=linear((0.0, 10.0), "step"), y=linear((0.0, 2.0), "loss"), left=50.0, top=10.0, width=100.0, height=40.0
)
NAMES = {"s": "http://www.w3.org/2000/svg"}


def test_values_lie_in_the_box_and_y_grows_upwards():
    assert (PLANE.across(0.0), PLANE.across(10.0)) == (50.0, 150.0)
    assert (PLANE.along(0.0), PLANE.along(2.0)) == (50.0, 10.0)


def test_rows_of_names_go_down():
    plane = Plane(x=linear((0.0, 1.0)), y=bands(("a", "b")), top=0.0, height=40.0, down=True)
    assert (plane.along(0.0), plane.along(1.0)) == (10.0, 30.0)


def test_a_picture_has_a_name_and_a_description():
    drawn = ElementTree.fromstring(picture("Loss & more", "It falls", 100.0, PLANE.axes()))
    assert drawn.find("s:title", NAMES).text == "Loss & more"
    assert drawn.find("s:desc", NAMES).text == "It falls"
    assert drawn.attrib["role"] == "img"
    assert drawn.attrib["aria-label"] == "Loss & more. It falls"
    assert drawn.attrib["viewBox"] == f"0 0 {WIDTH:g} 100"


def test_axes_say_their_ticks_and_names():
    words = [one.text for one in ElementTree.fromstring(PLANE.axes()).iter("text")]
    assert {"0", "10", "step", "loss", "2.0"} <= set(words)


def test_a_readable_group_tells_the_way_back_from_places_to_values():
    plane = Plane(x=logarithmic((1.0, 1000.0), "BitOPs"), y=linear((0.1, 0.3), "top 1"))
    group = ElementTree.fromstring(plane.group(tag("path"), readable=True))
    form, low, high, *name = group.attrib["data-x"].split(" ")
    assert (form, float(low), float(high), name) == ("log", plane.x.low, plane.x.high, ["BitOPs"])
    assert float(group.attrib["data-y"].split(" ")[1]) == plane.y.low
    assert "data-x" not in ElementTree.fromstring(plane.group(tag("path"))).attrib


def test_a_legend_breaks_where_the_picture_ends():
    short, below = legend([("a", "s0"), ("b", "s1")], 10, 16)
    long, deeper = legend([("a name of some length", f"s{index}") for index in range(8)], 10, 16)
    assert below == 34
    assert deeper > below
    right = max(float(one.attrib["x"]) for one in ElementTree.fromstring(long).iter("text"))
    assert right < WIDTH
    assert [one.text for one in ElementTree.fromstring(short).iter("text")] == ["a", "b"]


@pytest.mark.parametrize(("words", "room"), [("blocks.0.attn.qkv", 30), ("features.layers.3.blocks.11.attn.proj", 30)])
def test_a_name_that_is_too_long_keeps_both_ends(words, room):
    kept = cut(words, room)
    assert len(kept) <= room
    assert kept == words or (words.startswith(kept.split("…")[0]) and words.endswith(kept.split("…")[1]))
