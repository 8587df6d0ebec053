"""The Markdown pages of the repository as the house's tests see them: blocks of code, links, symbols."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import NamedTuple

from tests.house.source import ROOT

_FENCE = re.compile(r"\s*(?P<fence>`{3,}|~{3,})\s*(?P<info>.*)")


class Block(NamedTuple):
    """A fenced block of code."""

    language: str
    line: int  # of the opening fence, counted from one
    code: str


def pages() -> list[str]:
    """Every page, as a path from the root. The README is one whether it exists or not."""
    found = {"README.md", *(page.name for page in ROOT.glob("*.md"))}
    for folder in ("docs", "benchmarks", "examples"):
        found.update(str(page.relative_to(ROOT)) for page in (ROOT / folder).rglob("*.md"))
    return sorted(found)


def read(page: str) -> str:
    """The text of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


def split(text: str) -> tuple[str, list[Block]]:
    """The prose of a page, with empty lines where its blocks were, and the blocks."""
    prose: list[str] = []
    blocks: list[Block] = []
    fence, language, opened, inside = "", "", 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        match = _FENCE.fullmatch(line)
        prose.append("" if fence or match else line)
        if not fence and match:
            fence, language, opened, inside = match["fence"], match["info"].split(" ")[0], number, []
        elif fence and match and match["fence"].startswith(fence) and not match["info"]:
            blocks.append(Block(language, opened, dedent("\n".join(inside))))
            fence = ""
        elif fence:
            inside.append(line)
    assert not fence, f"the block that opens in line {opened} is never closed"
    return "\n".join(prose), blocks


def spans(text: str) -> list[str]:
    """What stands between backticks in the prose of a page."""
    return re.findall(r"`([^`\n]+)`", split(text)[0])


def links(text: str) -> list[str]:
    """Where the links and pictures of a page point to."""
    prose = re.sub(r"`[^`\n]+`", "", split(text)[0])
    inline = re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    reference = re.findall(r"^\s*\[[^\]]+\]:\s*(\S+)", prose, flags=re.MULTILINE)
    html = re.findall(r"(?:src|href|srcset)=\"([^\"]+)\"", prose)
    return inline + reference + html


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page make."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", split(text)[0], flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
