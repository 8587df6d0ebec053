from xml.etree import ElementTree

import pytest

from stillbit.analysis.markup import tag
from stillbit.analysis.plot.figure import Figure, Option, figure, slug, standalone, write_figures
from stillbit.analysis.svg.plane import picture

PICTURE = picture("A title", "What it is", 10.0, tag("rect", class_="fill s0", width=1.0))


def test_a_picture_on_its_own_brings_its_style_and_white_paper():
    drawn = ElementTree.fromstring(standalone(PICTURE).encode())
    names = [one.tag.rpartition("}")[2] for one in drawn]
    assert names == ["style", "rect", "title", "desc", "rect"]
    assert drawn[1].attrib["fill"] == "#ffffff"
    assert "var(" not in drawn[0].text


def test_every_option_is_a_file_and_none_is_lost(tmp_path):
    options = tuple(Option(name=name, svg=PICTURE) for name in ("a/b", "a:b", "../../c"))
    paths = write_figures((Figure(name="x", title="t", caption="c", options=options, choose="layer"),), tmp_path, "run")
    assert [path.name for path in paths] == ["run-x-a-b.svg", "run-x-a-b_.svg", "run-x-..-..-c.svg"]
    assert all(path.parent == tmp_path and path.is_file() for path in paths)


def test_a_figure_of_one_picture_offers_no_choice():
    assert figure("x", "t", "c", PICTURE).choose == ""


@pytest.mark.parametrize(
    ("words", "name"),
    [("blocks.0.attn", "blocks.0.attn"), ("<script>", "script"), ("../..", "unnamed"), ("é ü", "é-ü")],
)
def test_any_name_makes_a_file_name(words, name):
    assert slug(words) == name
