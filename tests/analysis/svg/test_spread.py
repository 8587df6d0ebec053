"""Marks for numbers that are known several times."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from stillbit.analysis.svg.axis import linear
from stillbit.analysis.svg.plane import Plane
from stillbit.analysis.svg.spread import CAP, band, whisker

PLANE = Plane(x=linear((0.0, 10.0)), y=linear((0.0, 10.0)), left=0.0, top=0.0, width=100.0, height=100.0)


def numbers(markup: str, name: str) -> list[float]:
    return [float(one) for one in re.findall(r"-?[\d.]+", ElementTree.fromstring(markup).attrib[name])]


def test_a_whisker_goes_from_low_to_high_and_has_two_ends() -> None:
    said = numbers(whisker(PLANE, 5.0, (2.0, 9.0), "s1"), "d")
    assert said == [50.0, 10.0, 80.0, 50.0 - CAP, 10.0, 2 * CAP, 50.0 - CAP, 80.0, 2 * CAP]


def test_a_lying_whisker_goes_along_the_other_axis() -> None:
    said = numbers(whisker(PLANE, 5.0, (2.0, 9.0), "s1", along="x"), "d")
    assert said == [20.0, 50.0, 90.0, 20.0, 50.0 - CAP, 2 * CAP, 90.0, 50.0 - CAP, 2 * CAP]


def test_a_band_goes_there_along_the_highest_and_back_along_the_lowest() -> None:
    said = numbers(band(PLANE, ((0.0, 1.0, 3.0), (10.0, 4.0, 8.0)), "s0"), "points")
    assert said == [0.0, 70.0, 100.0, 20.0, 100.0, 60.0, 0.0, 90.0]


def test_both_have_the_colour_of_their_line_and_no_dashes() -> None:
    for drawn in (whisker(PLANE, 5.0, (2.0, 9.0), "s3 again"), band(PLANE, ((0.0, 1.0, 3.0),), "s3 again")):
        assert "s3" in (held := ElementTree.fromstring(drawn).attrib["class"]) and "again" not in held
