from dataclasses import replace
from xml.etree import ElementTree

from stillbit.analysis.page_table import MOST, SHORT, table_of, tables_of
from stillbit.analysis.table import Column, Table

COLUMNS = (Column(name="<layer>"), Column(name="share", kind="share", about="of weights"), Column(name="role"))
TABLE = Table(title="what <moves>", columns=COLUMNS, rows=(("a<b", 0.5, "key"), ("c", None, "query")), note="at m = 1")


def html(table, **more):
    return ElementTree.fromstring(f"<div>{table_of(table, **more)}</div>")


def test_a_table_has_a_caption_headings_and_cells_for_who_does_not_see_it():
    held = html(TABLE)
    assert held.find(".//caption").text == "What <moves>"
    assert [one.attrib["scope"] for one in held.iter("th")] == ["col", "col", "col", "row", "row"]
    assert [one.text for one in held.iter("th")][3:] == ["a<b", "c"]


def test_numbers_are_written_for_people_and_held_exactly_for_sorting():
    first, unknown = (row.find("td") for row in html(TABLE).findall(".//tbody/tr"))
    assert (first.text, first.attrib["data-v"]) == ("50.00 %", "0.5")
    assert unknown.text is None and "data-v" not in unknown.attrib


def test_what_the_columns_mean_stands_below():
    held = html(TABLE)
    assert held.find("p").text == "At m = 1."
    assert ["".join(one.itertext()) for one in held.iter("li")] == ["share: Of weights."]


def test_what_two_tables_mean_alike_is_said_once():
    held = ElementTree.fromstring(f"<div>{tables_of((TABLE, TABLE, replace(TABLE, note='at m = 2')))}</div>")
    assert [one.text for one in held.findall("p")] == ["At m = 1.", "At m = 2."]
    assert len(held.findall(".//li")) == 1 and len(held.findall(".//table")) == 3


def test_a_table_that_is_wide_can_be_scrolled_with_the_keyboard():
    box = html(TABLE).find("div").attrib
    assert (box["tabindex"], box["role"], box["aria-label"]) == ("0", "region", "What <moves>")


def test_long_tables_are_short_at_first_and_the_longest_are_cut():
    rows = tuple((f"layer {index}", 0.1, "") for index in range(MOST + 5))
    long = html(Table(title="t", columns=COLUMNS, rows=rows))
    assert "short" in long.find(".//table").attrib["class"]
    assert len(long.findall(".//tbody/tr")) == MOST
    assert "5 more rows are in the record." in long.find("p").text
    few = html(Table(title="t", columns=COLUMNS, rows=rows[:SHORT]))
    assert few.find(".//table").attrib["class"] == "sortable"
    assert len(html(Table(title="t", columns=COLUMNS, rows=rows), most=30).findall(".//tbody/tr")) == 30
