"""The report in a real browser: Debian's chromium, which ``make test`` installs where it may."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from stillbit.analysis.report import Page, Run
from stillbit.analysis.svg.theme import DARK, LIGHT
from tests.analysis import pages
from tests.analysis.browser import CHROMIUM, Browser, browser
from tests.analysis.plot import samples

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium here: apt-get install chromium")
SOON = 2.0
"""Seconds until a page is open."""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as one:
        yield one


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report <b>&.html"
    path.write_text(pages.text(pages.three()), encoding="utf-8")
    return path


@pytest.fixture
def page(chromium: Browser, path: Path) -> Iterator[Browser]:
    chromium.likes("light")
    chromium.open(path)
    yield chromium
    assert chromium.errors == [], "whatever a test does, the page reports no error"
    chromium.run("localStorage.clear()")


def shown(page: Browser, selector: str) -> list[str]:
    """Names of those options that can be seen."""
    return page.run(
        f"[...document.querySelectorAll({json.dumps(selector)})].filter(e => e.offsetParent).map(e => e.dataset.name)"
    )


def tip(page: Browser) -> str:
    return page.run("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent")


def colour(page: Browser, name: str = "background-color") -> str:
    red, green, blue = page.run(
        f"getComputedStyle(document.body).getPropertyValue('{name}').match(/\\d+/g).map(Number)"
    )
    return f"#{red:02x}{green:02x}{blue:02x}"


def test_the_page_opens_soon_without_a_word_and_asks_nobody(chromium, path):
    took = min(chromium.open(path) for _ in range(3))
    assert took < SOON
    assert chromium.errors == []
    assert {request.partition(":")[0] for request in chromium.requests} == {"file", "data"}
    assert [request for request in chromium.requests if request.startswith("file")] == [path.resolve().as_uri()]


def test_names_that_are_scripts_do_not_run(page):
    assert page.run("document.scripts.length") == 1
    assert page.run(f"document.body.textContent.includes({json.dumps(samples.EVIL)})")
    assert page.run("document.querySelector('h1').children.length") == 0
    assert samples.EVIL in shown(page, "#oscillation figure .option") + page.run(
        "[...document.querySelectorAll('#oscillation select option')].map(e => e.value)"
    )


def test_a_table_is_sorted_by_click_and_again_the_other_way(page):
    cells = "[...document.querySelectorAll('#summary tbody tr')].map(r => r.cells[1].textContent)"
    before = [float(one) for one in page.run(cells)]
    page.click("#summary thead th:nth-child(2) button")
    assert [float(one) for one in page.run(cells)] == sorted(before, reverse=True) != before
    sorts = "[...document.querySelectorAll('#summary th[aria-sort]')].map(e => e.getAttribute('aria-sort'))"
    assert page.run(sorts) == ["none", "descending", "none"]
    page.click("#summary thead th:nth-child(2) button")
    assert [float(one) for one in page.run(cells)] == sorted(before)


def test_a_table_is_sorted_from_the_keyboard(page):
    page.run("document.querySelector('#summary thead th button').focus()")
    page.press("Enter")
    names = "[...document.querySelectorAll('#summary tbody tr')].map(r => r.cells[0].textContent)"
    first = page.run(names)
    page.press("Enter")
    assert page.run(names) == first[::-1]
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "top-1"


def test_what_is_not_known_stays_last_whichever_way_a_table_is_sorted(page):
    cells = (
        "(() => { for (const t of document.querySelectorAll('table.sortable')) for (const h of t.tHead.rows[0].cells) {"
        " const rows = () => [...t.tBodies[0].rows].map(r => r.cells[h.cellIndex].textContent);"
        " if (h.className !== 'number' || !rows().includes('') || rows().every(x => x === '')) continue;"
        " for (const turn of [0, 1]) { h.querySelector('button').click();"
        " const now = rows(); if (now.slice(now.indexOf('')).some(x => x !== '')) return now; } }"
        " return 'all'; })()"
    )
    assert page.run(cells) == "all"


def test_a_long_table_shows_ten_rows_until_it_is_asked_for_more(page):
    table, button = ("#variation > .choice > .chosen " + one for one in ("table.short", ".more button"))
    rows = f"[...document.querySelector('{table}').tBodies[0].rows].filter(r => r.offsetParent).length"
    assert page.run(rows) == 10
    count = int(page.run(f"document.querySelector('{button}').textContent").split()[2])
    page.run(f"window.table = document.querySelector('{table}').tBodies[0]")
    page.click(button)
    assert page.run("[...window.table.rows].filter(r => r.offsetParent).length") == count > 10
    assert page.run(f"document.querySelector('{button}').ariaExpanded") == "true"


def test_one_layer_is_shown_and_another_one_when_it_is_chosen(page):
    latents = "#figure-oscillation-plain-latents"
    assert shown(page, f"{latents} .option") == [samples.LAYERS[0]]
    page.run(f"document.querySelector('{latents} select').focus()")
    page.press("ArrowDown")
    assert shown(page, f"{latents} .option") == [samples.LAYERS[1]]
    assert shown(page, "#figure-oscillation-plain-oscillation-paths .option") == [samples.LAYERS[1]], "here too"
    page.click(f"{latents} .picker button:last-child")
    assert shown(page, f"{latents} .option") == [samples.LAYERS[2]]


def test_the_run_is_a_choice_for_the_whole_page(page):
    assert shown(page, "#cost > .choice > .option") == ["plain"]
    page.click("#oscillation > .picker button:last-child")
    assert shown(page, "#oscillation > .choice > .option") == [samples.EVIL]
    assert shown(page, "#cost > .choice > .option") == [samples.EVIL]


def test_pointing_at_a_bar_says_its_value(page):
    x, y = page.middle("#figure-oscillation-plain-oscillation-layers svg rect.fill")
    page.point(x, y)
    share = 100 * samples.oscillation().tracked.layers[0].oscillating
    assert tip(page) == f"{samples.LAYERS[0]}: {share:.2f} % of 1,000"
    page.press("Escape")
    page.point(2, 2)
    assert tip(page) == ""


def test_pointing_at_a_line_reads_all_lines_at_that_place(page):
    figure = "#figure-oscillation-oscillation-runs svg"
    x, y = page.middle(figure)
    page.point(x, y)
    moment = samples.oscillation().tracked.moments[1]
    assert tip(page).splitlines() == [
        f"step {moment.step}",
        *(f"{name}: {100 * moment.oscillating:.4g}" for name in ("plain", samples.EVIL)),
    ]


def test_a_heat_map_says_row_and_column(page):
    x, y = page.middle("#figure-sensitivity-plain-sensitivity-head .option.chosen svg path")
    page.point(x, y)
    assert tip(page).startswith(f"{samples.LAYERS[0]}, 0: ")


def test_the_columns_of_a_histogram_can_be_read(page):
    x, y = page.middle("#figure-oscillation-plain-latents .option.chosen svg")
    page.point(x, y)
    assert "% of weights: " in tip(page)


def test_values_are_told_from_the_keyboard(page):
    page.run("document.querySelector('#figure-oscillation-plain-oscillation-layers svg').focus()")
    page.press("ArrowRight")
    first = tip(page)
    page.press("ArrowRight")
    assert first.startswith(samples.LAYERS[0]) and tip(page).startswith(samples.LAYERS[1])
    assert page.run("document.getElementById('tip').getAttribute('role')") == "status"
    page.press("Escape")
    assert tip(page) == ""


def test_every_control_is_reached_with_the_tab_key_and_shows_that_it_has_the_focus(page):
    page.run("document.querySelector('.skip').focus()")
    outlines = set()
    for _ in range(12):
        page.press("Tab")
        outlines.add(page.run("getComputedStyle(document.activeElement).outlineStyle"))
    assert outlines == {"solid"}


def test_the_theme_follows_the_system_until_the_reader_chooses(page):
    assert colour(page) == LIGHT["paper"]
    page.likes("dark")
    assert (colour(page), colour(page, "color")) == (DARK["paper"], DARK["ink"])
    page.click("#theme")
    page.click("#theme")
    assert page.run("document.getElementById('theme').textContent") == "Theme: light"
    assert colour(page) == LIGHT["paper"]


def test_the_chosen_theme_is_remembered(page, path):
    page.click("#theme")
    assert colour(page) == DARK["paper"]
    page.open(path)
    assert colour(page) == DARK["paper"]


def test_paper_gets_everything_in_light_colours(page):
    page.likes("dark")
    page.call("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        assert colour(page) == LIGHT["paper"]
        assert shown(page, "#figure-oscillation-plain-latents .option") == list(samples.LAYERS)
        assert shown(page, "#cost > .choice > .option") == ["plain", samples.EVIL, "bare"]
        assert page.run("document.querySelector('nav').offsetParent") is None
    finally:
        page.call("Emulation.setEmulatedMedia", media="")


def test_without_scripts_everything_is_there(chromium, path):
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(path)
        assert shown(chromium, "#figure-oscillation-plain-latents .option") == list(samples.LAYERS)
        assert chromium.run("document.querySelectorAll('button').length") == 0
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize("width", [1280, 700, 400])
def test_nothing_is_wider_than_the_window(chromium, path, width):
    chromium.open(path, width=width)
    assert chromium.run("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_the_page_prints(page):
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_section_makes_a_picture(chromium, path, tmp_path, theme, width):
    chromium.likes(theme)
    chromium.open(path, width=width)
    for name in chromium.run("[...document.querySelectorAll('main > section')].map(s => s.id)"):
        image = Image.open(io.BytesIO(chromium.shot(tmp_path / f"{name}.png", f"#{name}"))).convert("RGB")
        paper = tuple(int({"light": LIGHT, "dark": DARK}[theme]["paper"][i : i + 2], 16) for i in (1, 3, 5))
        colours = sorted(image.getcolors(1 << 24), reverse=True)
        assert colours[0][1] == paper, "most of a page is paper"
        assert len(colours) > 30 and image.height > 100, "and there is something on it"
    assert chromium.errors == []


@pytest.mark.slow
def test_ten_runs_of_a_deit_are_below_five_megabytes_and_open_in_two_seconds(chromium, tmp_path, monkeypatch):
    roles = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    monkeypatch.setattr(samples, "LAYERS", tuple(f"blocks.{block}.{role}" for block in range(12) for role in roles))
    names = [f"run {index}" for index in range(10)]
    runs = tuple(Run(name=name, records=samples.every(name)) for name in names)
    text = pages.text(Page(title="Ten", under="", summary=pages.summary(*names), runs=runs, version="0"))
    path = tmp_path / "ten.html"
    path.write_text(text, encoding="utf-8")
    assert path.stat().st_size < 5_000_000
    assert min(chromium.open(path) for _ in range(3)) < SOON
    assert chromium.errors == []
