import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from stillbit.analysis.report import TOPICS, Page, Run, figures_of
from tests.analysis import pages
from tests.analysis.plot import samples


class Seen(HTMLParser):
    """Elements and words, as a browser would take them apart."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def text():
    return pages.text(pages.three())


@pytest.fixture(scope="module")
def seen(text):
    return Seen(text)


def test_a_name_that_is_a_script_stays_a_name(text, seen):
    assert len(seen.all("script")) == 1
    assert samples.EVIL in "".join(seen.words)
    assert "<script>alert" not in text
    assert not [name for _, attributes in seen.elements for name in attributes if name.startswith("on")]


def test_nothing_is_taken_from_elsewhere(seen):
    assert not seen.all("link") and not seen.all("iframe") and not seen.all("object") and not seen.all("base")
    places = [
        value
        for _, attributes in seen.elements
        for name, value in attributes.items()
        if name in ("src", "href", "action")
    ]
    assert places and all(value.startswith(("#", "data:image/png;base64,")) for value in places)


def test_the_policy_allows_this_style_and_this_script_and_no_other(text, seen):
    (policy,) = (one["content"] for one in seen.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    for name in ("style", "script"):
        (held,) = re.findall(rf"<{name}>(.*?)</{name}>", text, flags=re.DOTALL)
        assert f"{name}-src 'sha256-{b64encode(sha256(held.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;") and "unsafe" not in policy
    assert not [attributes for _, attributes in seen.elements if "style" in attributes]


def test_every_topic_has_a_section_that_the_contents_lead_to(seen):
    sections = [one["id"] for one in seen.all("section")]
    assert sections == ["summary", *TOPICS]
    assert {f"#{name}" for name in sections} <= {one.get("href") for one in seen.all("a")}


def test_no_two_elements_have_the_same_name(seen):
    names = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(set(names)) == len(names)


def test_a_run_says_how_to_get_what_it_lacks_and_why_there_is_none(text):
    assert "bare: not measured yet. <code>stillbit analyze sensitivity bare</code>" in text
    assert "bare: nobody tracked the weights: train with --track" in text


def test_what_is_older_than_its_checkpoint_is_marked(text):
    assert text.count("<strong>Stale.</strong>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text.partition("<strong>Stale.</strong>")[2][:300]


def test_several_runs_are_a_choice_and_a_single_one_is_none(text):
    assert 'data-choose="run"' in text
    assert 'data-choose="run"' not in pages.text(pages.one())


def test_curves_of_several_runs_are_drawn_once_over_each_other(text):
    assert text.count("<h4>Training curves</h4>") == 1
    assert pages.text(pages.one()).count("<h4>Training curves</h4>") == 1


def test_pictures_have_names_and_captions(seen):
    figures = len(seen.all("figure"))
    assert figures == len(seen.all("figcaption")) > 60
    assert all(one["aria-label"] and one["role"] == "img" for one in seen.all("svg"))


def test_the_same_runs_make_the_same_page(text):
    assert pages.text(pages.three()) == text


def test_every_figure_of_a_page_can_be_had_alone():
    held = figures_of(pages.three())
    assert list(held) == ["", "plain", samples.EVIL, "bare"]
    assert {"curves", "accuracy-bitops", "landscape-runs"} <= {one.name for one in held[""]}
    assert len(held["plain"]) == len(held[samples.EVIL]) > len(held["bare"])


def test_a_run_has_one_colour_in_all_figures_that_lay_runs_over_each_other():
    records = {name: samples.every(name) for name in ("a", "b", "c")}
    some = [Run(name="a", records=(samples.curves("a"),)), *(Run(name=name, records=records[name]) for name in "bc")]
    held = figures_of(Page(title="t", under="", summary=(), runs=tuple(some), version="0"))[""]
    drawn = [option.svg for one in held for option in one.options]
    found = {name: set() for name in "abc"}
    for svg in drawn:
        for class_, name in re.findall(r'class="line (\S+)" data-name="([abc])"', svg):
            found[name].add(class_)
    assert found == {"a": {"s0"}, "b": {"s1"}, "c": {"s2"}} and len(held) > 3


def test_runs_measured_on_different_numbers_of_images_are_marked():
    one, other = samples.landscape("a"), replace(samples.landscape("b"), images=32)
    runs = (Run(name="a", records=(one,)), Run(name="b", records=(other,)))
    said = Page(title="t", under="", summary=(), runs=runs, version="0")
    assert f"compare them with care: a {one.images}, b 32." in pages.text(said)
    even = replace(said, runs=(runs[0], Run(name="b", records=(samples.landscape("b"),))))
    assert "compare them with care" not in pages.text(even)


def test_a_scan_that_has_not_ended_is_marked():
    said = pages.one()
    stopped = Run(name="a", records=(samples.landscape("a", whole=False),))
    assert "<strong>Unfinished.</strong>" in pages.text(replace(said, runs=(stopped,)))
    assert "<strong>Unfinished.</strong>" not in pages.text(said)
