"""The frame of a page."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256

from stillbit.analysis.document import Section, choice, document, drawn
from stillbit.analysis.markup import Markup, tag
from stillbit.analysis.plot.figure import Figure, Option, figure

PICTURE = tag("svg", tag("title", "a picture"))


def whole(*sections: Section) -> str:
    return document("A <title>", "under it", "1.2", sections)


def test_a_page_has_its_title_its_version_and_its_sections() -> None:
    said = whole(Section("first", "First", tag("p", "words")), Section("empty", "Empty", Markup(""), False))
    assert "<h1>A &lt;title&gt;</h1>" in said and "stillbit 1.2" in said
    assert '<section id="first" aria-labelledby="first-heading"><h2 id="first-heading">First</h2><p>words</p>' in said
    assert '<a href="#empty" class="none">Empty</a>' in said and '<a href="#first">First</a>' in said


def test_its_policy_names_the_one_style_and_the_one_script() -> None:
    said = whole()
    for kind in ("style", "script"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", said, flags=re.DOTALL)
        assert b64encode(sha256(text.encode()).digest()).decode() in said


def test_a_figure_of_one_picture_has_no_choice() -> None:
    said = drawn(figure("curve", "A curve", "Seen from afar.", PICTURE), "study")
    assert said.startswith('<figure id="figure-study-curve"><h4>A curve</h4>') and "choice" not in said
    assert "<figcaption>Seen from afar.</figcaption>" in said


def test_a_figure_of_several_lets_the_reader_choose() -> None:
    options = (Option(name="w2a2", svg=PICTURE), Option(name="w4a4", svg=PICTURE))
    said = drawn(Figure(name="n", title="T", caption="C", options=options, choose="bits"), "study")
    assert 'data-choose="bits"' in said and said.count('class="option"') == 2
    assert choice("bits", [("w2a2", tag("p"))]) == (
        '<div class="choice" data-choose="bits"><div class="option" data-name="w2a2"><p></p></div></div>'
    )
