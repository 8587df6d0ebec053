"""The tables of a study."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from stillbit.study.tables import tables
from tests.study.small import row, seeds

ROWS = [
    *seeds("lsq", [70.0, 74.0, 78.0]),
    *seeds("vvtq+no-obr", [71.0, 75.1, 78.9]),
    *seeds("lsq", [80.0], "w4a4"),
    row("pact", top1=None, status="failed", error="lost | the GPU"),
    row("float", "float", kind="parent", top1=90.0, epochs=20),
]


def test_cells_are_means_with_spreads_and_counts() -> None:
    said = tables(ROWS, "small", None)
    assert "7 of 8 cells are done." in said
    assert "| method | w4a4 | w2a2 |\n|---|---:|---:|\n| lsq | 80.00 (1) | 74.00 ± 4.00 (3) |" in said
    assert "| vvtq+no-obr |  | 75.00 ± 3.95 (3) |" in said


def test_differences_to_the_baseline_are_of_the_same_seeds_and_bold_where_noise_does_not_explain_them() -> None:
    said = tables(ROWS, "small", "lsq")
    assert "| vvtq+no-obr |  | **+1.00 ± 0.25** (3) |" in said
    assert "Difference to lsq, the same seeds" in said


def test_the_noise_is_stated() -> None:
    said = tables(ROWS, "small", None)
    assert "Noise, the standard deviation of a seed over all methods: 3.98 at w2a2." in said
    assert "No spread is known" in tables([row()], "small", None)


def test_only_numbers_that_somebody_measured_have_a_table() -> None:
    assert "SDAM" not in tables(ROWS, "small", None)
    assert "### SDAM over modules\n" in tables([row(sdam=0.01)], "small", None)


def test_parents_and_failures_are_told() -> None:
    said = tables(ROWS, "small", None)
    assert "| float | tiny | float | 0 | 90.00 | 20 |  |" in said
    assert "| pact-w2a2-0 | failed | lost \\| the GPU |" in said
    assert "Not whole" not in tables(ROWS[:3], "small", None)


def test_rows_of_several_surroundings_are_told_apart() -> None:
    rows = [row(environment="a"), row(seed=1, environment="b")]
    assert "made in 2 different surroundings" in tables(rows, "small", None)
    assert "surroundings" not in tables(rows[:1], "small", None)


def test_tables_stand_alone_between_empty_lines() -> None:
    """Or Markdown takes the sentence below one for a row of it."""
    lines = tables(ROWS, "small", "lsq").splitlines()
    for above, below in pairwise(lines):
        assert not (above.startswith("|") and below and not below.startswith("|")), (above, below)


def test_a_method_of_which_a_number_is_not_known_has_no_row_in_its_table() -> None:
    held = [*seeds("lsq", [1.0, 2.0]), *(replace(one, top1=None) for one in seeds("gplq", [1.0, 2.0]))]
    assert "| gplq |" not in tables(held, "study", None)
