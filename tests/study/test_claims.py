"""What a claim may say."""

from __future__ import annotations

import pytest

from stillbit.study.claims import Term, claims
from tests.study.small import row

TITLES = ("lsq", "lsq_plus", "vvtq", "vvtq+no-obr", "vvtq+obr-0.1", "lsq+sgd", "vvtq+sgd")
ROWS = [row(title, bits) for title in TITLES for bits in ("w4a4", "w3a3", "w2a2")]


def sides(text: str) -> tuple[tuple[Term, ...], ...]:
    (found,) = claims({"a": text}, ROWS)
    return found.sides


def test_terms_say_bits_or_leave_them_open() -> None:
    assert sides("vvtq@w2a2 > lsq_plus@w2a2") == (
        (Term(1.0, "vvtq", "w2a2", None),),
        (Term(1.0, "lsq_plus", "w2a2", None),),
    )
    assert sides("vvtq > lsq")[0] == (Term(1.0, "vvtq", None, None),)
    assert sides("vvtq@tiny@w2a2 > lsq@w2a2@tiny")[1] == (Term(1.0, "lsq", "w2a2", "tiny"),)


def test_a_switch_of_one_method_needs_no_method() -> None:
    assert sides("no-obr > vvtq+obr-0.1")[0] == (Term(1.0, "vvtq+no-obr", None, None),)


def test_sides_are_sums_with_factors() -> None:
    found = sides("lsq@w3a3 - lsq@w2a2 > 2 * lsq@w4a4 - 0.5*lsq@w3a3 + vvtq+no-obr@w2a2")
    assert [[term.factor for term in side] for side in found] == [[1.0, -1.0], [2.0, -0.5, 1.0]]
    assert found[1][2].title == "vvtq+no-obr"


def test_a_claim_is_about_top_1_unless_it_names_another_column() -> None:
    one, other = claims({"a": "vvtq > lsq", "b": " oscillation : vvtq < lsq < no-obr"}, ROWS)
    assert (one.metric, one.relation, other.metric, other.relation) == ("top1", ">", "oscillation", "<")
    assert len(other.sides) == 3


def test_equality_has_a_margin() -> None:
    (found,) = claims({"a": "vvtq = lsq within 0.5"}, ROWS)
    assert (found.relation, found.margin) == ("=", 0.5)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("vvtq > lsqq", "no cell is 'lsqq': did you mean lsq?"),
        ("sgd > lsq", "sgd is a switch of several methods: say which, as in lsq+sgd"),
        ("vvtq@w8a8 > lsq@w8a8", "no cell is @w8a8: there are w4a4"),
        ("vvtq@w2a2 > lsq", "some terms say their bits and some do not"),
        ("vvtq", "a claim has one relation"),
        ("vvtq > lsq < no-obr", "a claim has one relation"),
        ("vvtq = lsq", "= says how near"),
        ("vvtq > lsq within 1", "= says how near"),
        ("vvtq = lsq within x", "'x' is no number above 0"),
        ("vvtq > 0 * lsq", "'0' is no number above 0"),
        ("vvtq > ", "a side is missing"),
        ("oscilation: vvtq > lsq", "nothing is called 'oscilation': did you mean oscillation?"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_a_mistake_with_its_name(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as error:
        claims({"wish": text}, ROWS)
    assert str(error.value).startswith(f"claims.wish ({text}): ") and sentence in str(error.value)
