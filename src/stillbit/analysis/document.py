"""The frame of a page: one HTML file with its style and its script, that reaches for no network."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from string import Template
from typing import NamedTuple

from stillbit.analysis.markup import Markup, escaped, join, tag
from stillbit.analysis.plot.figure import Figure, slug
from stillbit.analysis.svg.theme import figure_style, page_file, variables


class Section(NamedTuple):
    """A part of a page with a heading of its own."""

    name: str
    title: str
    body: Markup
    something: bool = True
    """Whether there is anything in it but what is missing."""


def document(title: str, under: str, version: str, sections: Sequence[Section]) -> str:
    """The whole file; ``under`` is the line below the title."""
    style = variables() + figure_style() + page_file("report.css")
    script = page_file("report.js")
    return Template(page_file("report.html")).substitute(
        policy=escaped(f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}"),
        version=escaped(version),
        title=escaped(title),
        under=escaped(under),
        style=style,
        script=script,
        contents=_contents(sections),
        sections=join(*(_section(one) for one in sections)),
        footer=escaped(f"Made with stillbit {version}. The page is whole: it needs no network."),
    )


def drawn(one: Figure, within: str) -> Markup:
    """A figure with its title and caption; ``within`` tells it from others of its name."""
    if len(one.options) == 1:
        held = tag("div", one.options[0].svg, class_="canvas")
    else:
        held = choice(
            one.choose,
            [
                (option.name, join(tag("p", option.name, class_="called"), tag("div", option.svg, class_="canvas")))
                for option in one.options
            ],
        )
    known_as = slug(f"{within}-{one.name}")
    return tag("figure", tag("h4", one.title), held, tag("figcaption", one.caption), id=f"figure-{known_as}")


def choice(what: str, options: Sequence[tuple[str, Markup]]) -> Markup:
    """All of them for paper and where no script runs; the script lets the reader choose one."""
    held = (tag("div", body, class_="option", data_name=name) for name, body in options)
    return tag("div", *held, class_="choice", data_choose=what)


def _section(one: Section) -> Markup:
    heading = f"{one.name}-heading"
    return tag("section", tag("h2", one.title, id=heading), one.body, id=one.name, aria_labelledby=heading)


def _contents(sections: Sequence[Section]) -> Markup:
    links = (
        tag("li", tag("a", one.title, href=f"#{one.name}", class_=None if one.something else "none"))
        for one in sections
    )
    return tag("ul", *links)


def _hash(text: str) -> str:
    """How a policy names the one script and the one style that may be."""
    return f"'sha256-{b64encode(sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
