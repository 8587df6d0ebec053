"""What holds for the figures of every kind of record."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from stillbit.analysis import plot
from stillbit.analysis.plot.figure import standalone
from tests.analysis.plot import samples

RECORDS = {record.kind: record for record in samples.every()}
ALL = [(kind, one) for kind, record in RECORDS.items() for one in plot.figures(record)]
COMPARED = [
    (kind, one) for kind in plot.COMPARED for one in plot.compare(kind, [("a", RECORDS[kind]), ("<b>", RECORDS[kind])])
]


@pytest.mark.parametrize(("kind", "one"), ALL + COMPARED, ids=lambda one: getattr(one, "name", one))
def test_every_picture_is_well_formed_named_and_finite(kind, one):
    for option in one.options:
        drawn = ElementTree.fromstring(standalone(option.svg).encode("utf-8"))
        width, height = map(float, drawn.attrib["viewBox"].split()[2:])
        assert drawn.attrib["aria-label"] and 0 < height < 3_000
        assert not re.search(r"\b(nan|inf)\b", option.svg, flags=re.IGNORECASE)
        assert "script" not in {element.tag.rpartition("}")[2] for element in drawn.iter()}
        assert all(0 <= x <= width for x in _xs(drawn)), "everything has its place inside of the picture"


def _xs(drawn):
    for element in drawn.iter():
        if element.tag.rpartition("}")[2] in ("text", "circle", "rect") and "%" not in element.attrib.get("width", ""):
            yield float(element.attrib.get("x", element.attrib.get("cx", 0)))


@pytest.mark.parametrize(("kind", "one"), ALL + COMPARED, ids=lambda one: getattr(one, "name", one))
def test_every_caption_says_in_sentences_what_is_seen(kind, one):
    assert one.caption[0].isupper() and one.caption.endswith(".")
    assert len(one.caption) > 60
    assert bool(one.choose) == (len(one.options) > 1) or len(one.options) == 1


@pytest.mark.parametrize("kind", RECORDS)
def test_no_two_figures_of_a_record_have_the_same_name(kind):
    names = [one.name for one in plot.figures(RECORDS[kind])]
    assert names and len(set(names)) == len(names)


def test_one_run_is_compared_with_nobody():
    for kind in RECORDS:
        held = plot.compare(kind, [("a", RECORDS[kind])])
        assert bool(held) == (kind == "curves"), kind


def test_a_record_is_saved_as_pictures(tmp_path):
    paths = plot.save(RECORDS["landscape"], tmp_path / "new")
    assert [path.name for path in paths] == ["landscape-contours.svg", "landscape-surface.svg"]
    assert all(path.read_text().startswith("<?xml") for path in paths)
