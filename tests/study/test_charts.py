"""Pictures with error bars and bands."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from stillbit.analysis.plot.charts import Words
from stillbit.study.charts import Course, Level, Spot, courses, ladder, levels, spots, told
from stillbit.study.paired import Sample

SAID = Words(title="T", about="A", x="x", y="y")
A, B, ONCE = Sample(3, 70.0, 1.0), Sample(3, 60.0, 2.0), Sample(1, 50.0, None)
SVG = "{http://www.w3.org/2000/svg}"


def words(svg: str) -> list[str | None]:
    return [one.text for one in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def titles(svg: str) -> list[str | None]:
    return [one.text for one in ElementTree.fromstring(svg).iter(f"{SVG}title")][1:]


def whiskers(svg: str) -> int:
    return sum(one.attrib["class"].startswith("line thin") for one in ElementTree.fromstring(svg).iter(f"{SVG}path"))


def test_levels_have_a_dot_a_place_and_a_whisker_where_there_are_seeds() -> None:
    svg = levels(
        SAID, ["w4a4", "w2a2"], [Level("lsq", [A, B], "s0"), Level("vvtq", [None, ONCE], "s1")], [(75.0, "float")]
    )
    assert titles(svg) == ["lsq, w4a4: 70 ± 1 (3 seeds)", "lsq, w2a2: 60 ± 2 (3 seeds)", "vvtq, w2a2: 50 (1 seed)"]
    assert whiskers(svg) == 2
    assert {"lsq", "vvtq", "w4a4", "w2a2", "float"} <= set(words(svg))


def test_methods_stand_beside_each_other_and_not_on_each_other() -> None:
    given = [Level(str(index), [A, B], "s0") for index in range(9)]
    root = ElementTree.fromstring(levels(SAID, ["a", "b"], given, []))
    places = sorted(float(one.attrib["cx"]) for one in root.iter(f"{SVG}circle"))
    assert len(set(places)) == 18
    assert places[9] - places[8] > places[1] - places[0], "what belongs to one width is together"


def test_a_ladder_has_a_dot_a_name_and_level_from_zero() -> None:
    svg = ladder(SAID, ["lsq", "vvtq"], [Level("w3a3", [A, None], "s0"), Level("w2a2", [B, A], "s1")])
    assert titles(svg) == ["lsq, w3a3: 70 ± 1 (3 seeds)", "lsq, w2a2: 60 ± 2 (3 seeds)", "vvtq, w2a2: 70 ± 1 (3 seeds)"]
    assert "0" in words(svg) and whiskers(svg) == 3


def test_spots_have_whiskers_to_both_sides_and_a_front() -> None:
    given = [Spot("a", A, B, "a says", "s0"), Spot("b", B, A, "b says", "s1"), Spot("c", ONCE, ONCE, "c says", "s2")]
    svg = spots(SAID, given, [("lsq", "s0")], given[:2])
    assert titles(svg) == ["a says", "b says", "c says"] and whiskers(svg) == 4
    assert len(list(ElementTree.fromstring(svg).iter(f"{SVG}polyline"))) == 1
    assert {"a", "b", "c", "lsq"} <= set(words(svg))


def test_courses_are_lines_over_bands() -> None:
    svg = courses(SAID, [Course("lsq", [(1.0, 50.0, 45.0, 55.0), (2.0, 60.0, 58.0, 62.0)], "s0")])
    root = ElementTree.fromstring(svg)
    (area,), (line,) = root.iter(f"{SVG}polygon"), root.iter(f"{SVG}polyline")
    assert len(area.attrib["points"].split()) == 4 and line.attrib["data-name"] == "lsq"


@pytest.mark.parametrize(("value", "says"), [(A, "70 ± 1 (3 seeds)"), (ONCE, "50 (1 seed)")])
def test_a_value_is_told_with_its_spread(value: Sample, says: str) -> None:
    assert told(value) == says
