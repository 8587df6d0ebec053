"""Claims and verdicts on a page."""

from __future__ import annotations

from stillbit.study.verdicts import RULE, page
from tests.study.small import seeds

ROWS = [
    *seeds("lsq", [70.0, 74.0, 78.0]),
    *seeds("vvtq", [71.0, 75.1, 78.9]),
    *seeds("pact", [71.0, 75.1]),
    *seeds("kure", [69.0, 72.9, 77.1]),
]


def test_every_claim_has_its_verdict_and_its_numbers() -> None:
    said = page("small", {"better": "vvtq > lsq", "worse": "kure > lsq", "early": "pact > lsq"}, ROWS)
    assert "3 judgements of 3 claims: 1 held, 1 not held, 1 too few seeds." in said
    assert "| **better** | | | `vvtq > lsq` | | |" in said
    assert "| | w2a2 tiny | held | +1.000 | +0.752 to +1.248 | 3 |" in said
    assert "| | w2a2 tiny | not held | -1.000 | -1.248 to -0.752 | 3 |" in said
    assert RULE in said


def test_of_a_list_every_pair_is_told() -> None:
    said = page("small", {"order": "vvtq > lsq > kure"}, ROWS)
    assert "| all of it | w2a2 tiny | held | | | |" in said
    assert "| vvtq > lsq | w2a2 tiny | held |" in said and "| lsq > kure | w2a2 tiny | held |" in said


def test_a_claim_without_cells_in_common_says_so() -> None:
    rows = [*ROWS, *seeds("dorefa", [1.0], "w4a4")]
    assert "no cells of all its terms" in page("small", {"none": "dorefa > lsq"}, rows)


def test_every_line_of_the_table_has_six_cells() -> None:
    said = page("small", {"a": "vvtq > lsq > kure", "b": "pact > lsq"}, ROWS)
    lines = [line for line in said.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {7}
