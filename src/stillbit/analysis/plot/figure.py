"""A figure: a picture, or one a choice, under a title and over a sentence that says how to read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from stillbit.analysis.markup import Markup
from stillbit.analysis.svg.theme import LIGHT, plain_style
from stillbit.data.whole import whole


@dataclass(frozen=True, kw_only=True)
class Option:
    """One picture; ``name`` says which of the figure's it is."""

    name: str = ""
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a report shows and a paper prints."""

    name: str
    """Of its file."""
    title: str
    caption: str
    """What is seen, and how to read it."""
    options: tuple[Option, ...]
    choose: str = ""
    """What the options are, such as layer; empty where there is one picture."""
    spare: bool = False
    """Whether a page that gets too large may do without it, because another figure or a table tells the same."""


def figure(name: str, title: str, caption: str, svg: Markup, *, spare: bool = False) -> Figure:
    """A figure of one picture."""
    return Figure(name=name, title=title, caption=caption, options=(Option(svg=svg),), spare=spare)


def standalone(svg: Markup) -> str:
    """The picture as a file of its own: on white, with its style in it."""
    head, _, rest = svg.partition(">")
    paper = f'<rect width="100%" height="100%" fill="{LIGHT["paper"]}"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><style>{plain_style()}</style>{paper}{rest}\n'


def write_figures(figures: tuple[Figure, ...], folder: Path, before: str = "") -> list[Path]:
    """Every picture as an .svg file in ``folder``; ``before`` begins their names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: dict[Path, str] = {}
    for one in figures:
        for option in one.options:
            words = "-".join(word for word in (before, one.name, option.name) if word)
            path = folder / f"{slug(words)}.svg"
            while path in paths:  # names that differ only in what a file name cannot hold
                path = path.with_name(f"{path.stem}_.svg")
            paths[path] = standalone(option.svg)
    for path, text in paths.items():
        with whole(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return list(paths)


def slug(words: str) -> str:
    """Words as the name of a file, and as an anchor."""
    return re.sub(r"[^\w.]+", "-", words).strip("-.")[:120] or "unnamed"
