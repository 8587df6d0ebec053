"""Whether claims held, on numbers that were made up to hold or not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stillbit.study.claims import claims
from stillbit.study.judge import Judged, judge, worded
from stillbit.study.rows import Row
from tests.study.small import row, seeds


def judged(text: str, rows: Sequence[Row]) -> list[Judged]:
    (claim,) = claims({"a": text}, rows)
    return judge(claim, rows)


LSQ = seeds("lsq", [70.0, 74.0, 78.0])


@pytest.mark.parametrize(
    ("others", "verdict"),
    [
        ([71.0, 75.1, 78.9], "held"),
        ([69.0, 72.9, 77.1], "not held"),
        ([72.0, 73.0, 79.0], "within noise"),
        ([71.0, 75.1], "too few seeds"),
    ],
)
def test_the_same_seeds_are_compared(others: list[float], verdict: str) -> None:
    """Seeds differ by eight points, and the two methods by one: only pairs can tell."""
    (found,) = judged("vvtq > lsq", [*LSQ, *seeds("vvtq", others)])
    assert found.verdict == verdict


def test_less_is_the_other_direction() -> None:
    (found,) = judged("lsq < vvtq", [*LSQ, *seeds("vvtq", [71.0, 75.1, 78.9])])
    assert found.verdict == "held" and found.compared[0].difference is not None
    assert found.compared[0].difference.mean == pytest.approx(1.0)


def test_seeds_that_only_one_side_has_do_not_count() -> None:
    rows = [*LSQ, *seeds("vvtq", [71.0, 75.1, 78.9]), row("vvtq", seed=9, top1=0.0), row("lsq", seed=8, top1=None)]
    (found,) = judged("vvtq > lsq", rows)
    assert found.compared[0].difference is not None and found.compared[0].difference.seeds == 3


def test_a_list_is_as_strong_as_its_weakest_link() -> None:
    shares = {"lsq": [7.0, 7.2, 7.1], "vvtq": [4.0, 4.1, 4.3], "pact": [4.0, 4.5, 4.1]}
    rows = [one for title, values in shares.items() for one in seeds(title, values, metric="oscillation")]
    (found,) = judged("oscillation: lsq > vvtq > pact", rows)
    assert [pair.verdict for pair in found.compared] == ["held", "within noise"] and found.verdict == "within noise"
    (found,) = judged("oscillation: vvtq > lsq > pact", rows)
    assert [pair.verdict for pair in found.compared] == ["not held", "held"] and found.verdict == "not held"


def test_open_bits_are_judged_at_every_width_that_has_all_terms() -> None:
    rows = [*LSQ, *seeds("vvtq", [71.0, 75.1, 78.9]), *seeds("lsq", [1.0, 1.0, 1.0], "w3a3")]
    rows += [*seeds("lsq", [80.0, 81.0, 82.0], "w4a4"), *seeds("vvtq", [79.0, 80.1, 80.9], "w4a4")]
    assert [(one.bits, one.verdict) for one in judged("vvtq > lsq", rows)] == [("w4a4", "not held"), ("w2a2", "held")]


def test_gaps_between_widths_are_sums() -> None:
    rows = [
        *seeds("lsq", [60.0, 61.0, 62.0], "w2a2"),
        *seeds("lsq", [70.0, 71.1, 71.9], "w3a3"),
        *seeds("lsq", [72.0, 73.0, 74.0], "w4a4"),
    ]
    (found,) = judged("lsq@w3a3 - lsq@w2a2 > 2 * lsq@w4a4 - 2 * lsq@w3a3", rows)
    difference = found.compared[0].difference
    assert found.verdict == "held" and difference is not None
    assert difference.mean == pytest.approx((10 - 4 + 10.1 - 3.8 + 9.9 - 4.2) / 3)


@pytest.mark.parametrize(("margin", "verdict"), [(2.0, "held"), (0.2, "not held"), (0.9, "within noise")])
def test_as_good_as_has_a_margin(margin: float, verdict: str) -> None:
    rows = [*LSQ, *seeds("vvtq", [71.0, 75.2, 78.8])]
    assert judged(f"vvtq = lsq within {margin}", rows)[0].verdict == verdict


def test_parents_are_no_cells() -> None:
    rows = [*LSQ, *seeds("vvtq", [71.0, 75.1, 78.9]), row("lsq", top1=0.0, kind="parent")]
    assert judged("vvtq > lsq", rows)[0].verdict == "held"


def test_a_side_is_worded_as_it_was_said() -> None:
    text = "lsq@w2a2 - 2 * vvtq+a@w2a2 > - 0.5 * lsq@w2a2"
    (claim,) = claims({"a": "lsq@w2a2 - 2 * vvtq+a@w2a2 > 0.5 * lsq@w2a2"}, [*LSQ, *seeds("vvtq+a", [1.0])])
    assert worded(claim.sides[0]) == text.partition(" > ")[0] and worded(claim.sides[1]) == "0.5 * lsq@w2a2"
