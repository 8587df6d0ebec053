from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.analysis.markup import Markup, escaped, join, number, tag


def test_words_are_escaped_wherever_they_are_put():
    said = tag("p", "<b>", title='"><script>')
    assert said == '<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;</p>'


def test_markup_is_put_as_it_is():
    assert tag("p", tag("b", "x"), " & ", None) == "<p><b>x</b> &amp; </p>"
    assert join("<", Markup("<")) == "&lt;<"


@given(st.text())
def test_any_words_come_back_out_of_an_element_and_an_attribute(words):
    held = ElementTree.fromstring(tag("p", words, title=words))
    spoken = words.translate({code: "\ufffd" for code in [*range(9), 11, 12, *range(14, 32), 127, 0xFFFE, 0xFFFF]})
    # XML itself makes one line end of two, and blanks of those in attributes.
    assert (held.text or "") == spoken.replace("\r\n", "\n").replace("\r", "\n")
    blanks = str.maketrans("\t\n", "  ")
    assert held.attrib["title"] == spoken.replace("\r\n", " ").replace("\r", " ").translate(blanks)


@pytest.mark.parametrize("words", ["\x00", "\x1b[31m", "\ud800", "\ufffe"])
def test_what_xml_has_no_place_for_is_replaced(words):
    assert "\ufffd" in escaped(words)
    ElementTree.fromstring(tag("p", words).encode("utf-8"))


def test_attributes_are_written_as_html_names_them():
    said = tag("rect", class_="a", data_box="1", x=1.239, viewBox="0", hidden=True, rx=None, ry=False)
    assert said == '<rect class="a" data-box="1" x="1.24" viewBox="0" hidden/>'


def test_elements_of_html_without_an_end_have_none():
    assert tag("input", name="x") == '<input name="x">'
    with pytest.raises(AssertionError, match="holds nothing"):
        tag("br", "words")


@pytest.mark.parametrize(("value", "words"), [(1.0, "1"), (0.5, "0.5"), (-0.001, "0"), (100.0, "100"), (2.346, "2.35")])
def test_a_place_is_short(value, words):
    assert number(value) == words
