import pytest

from tests.house.pages import anchors, links, pages, read
from tests.house.source import ROOT


def broken(page: str, text: str) -> list[str]:
    found = []
    for link in links(text):
        if "://" in link or link.startswith("mailto:"):
            continue
        name, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / name).resolve() if name else ROOT / page
        if not target.exists() or not target.is_relative_to(ROOT):
            found.append(link)
        elif anchor and target.suffix == ".md":
            words = text if not name else target.read_text(encoding="utf-8")
            found += [link] if anchor not in anchors(words) else []
    return found


@pytest.mark.parametrize("page", pages())
def test_every_relative_link_leads_somewhere(page: str) -> None:
    assert not broken(page, read(page))


@pytest.mark.parametrize(
    "text",
    [
        "[gone](docs/gone.md)",
        "![gone](gone.png)",
        "[gone][1]\n\n[1]: docs/gone.md",
        '<img src="gone.svg">',
        "[outside](../../outside.md)",
        "[heading](#gone)",
        "[heading](CHANGELOG.md#gone)",
    ],
)
def test_a_broken_link_is_seen(text: str) -> None:
    assert broken("CONTRIBUTING.md", text)


@pytest.mark.parametrize(
    "text",
    [
        "[changes](CHANGELOG.md#unreleased)",
        "# The house, in one picture\n[up](#the-house-in-one-picture)",
        "[far](https://example.org/gone.md)",
        "`[code](gone.md)`",
        "```text\n[code](gone.md)\n```",
    ],
)
def test_a_good_link_is_left_alone(text: str) -> None:
    assert not broken("CONTRIBUTING.md", text)
