"""The colours of both themes, and the style sheet of a picture."""

from __future__ import annotations

import re
from importlib.resources import files

LIGHT = {
    "paper": "#ffffff", "raised": "#f5f7f9", "ink": "#1a1f24", "quiet": "#57606a", "line": "#dfe3e8",
    "link": "#005ea8", "warn": "#8a4a00",
    "s0": "#0072b2", "s1": "#d55e00", "s2": "#008a65", "s3": "#b6588c", "s4": "#3a94c8", "s5": "#b97c00",
    "s6": "#404850", "s7": "#928500",
}  # fmt: skip
"""Names of colours, after Okabe and Ito; those that are too pale for white paper are darker here."""
DARK = {
    "paper": "#14181c", "raised": "#1d2328", "ink": "#e7eaed", "quiet": "#a3adb7", "line": "#343c44",
    "link": "#7cbcff", "warn": "#f0b35e",
    "s0": "#4fa8e0", "s1": "#f0894a", "s2": "#2cbf95", "s3": "#dd9bc3", "s4": "#8fd0f5", "s5": "#e8ab2e",
    "s6": "#c2cad2", "s7": "#e6da5c",
}  # fmt: skip
SERIES = tuple(name for name in LIGHT if re.fullmatch(r"s\d", name))


def page_file(name: str) -> str:
    """A file that is shipped for pages."""
    return (files("stillbit.analysis") / "page" / name).read_text(encoding="utf-8")


def variables() -> str:
    """Both themes for a page: what the system likes, unless the reader says which; paper is always light."""
    light, dark = (_block(theme, scheme) for theme, scheme in ((LIGHT, "light"), (DARK, "dark")))
    return (
        f":root {{ {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {dark} }} }}\n"
        f"@media screen {{ :root[data-theme=dark] {{ {dark} }} }}\n"
    )


def figure_style() -> str:
    """How marks look, in the words of `variables`."""
    things = "".join(
        f"svg .fill.{name}, svg .area.{name} {{ fill: var(--{name}); }} svg .line.{name} {{ stroke: var(--{name}); }}\n"
        for name in SERIES
    )
    return page_file("figure.css") + things


def plain_style() -> str:
    """The same for a picture on its own, in light colours: what draws it for paper knows no variables."""
    return re.sub(r"var\(--(\w+)\)", lambda found: LIGHT[found[1]], figure_style())


def _block(theme: dict[str, str], scheme: str) -> str:
    return f"color-scheme: {scheme}; " + " ".join(f"--{name}: {colour};" for name, colour in theme.items())
