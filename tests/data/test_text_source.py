from __future__ import annotations

import numpy as np
import pytest

from stillbit.data.text_source import Fault, Row, gather
from stillbit.data.text_tasks import find_task
from tests.data.text_examples import pairs

RTE, STSB = find_task("rte"), find_task("stsb")
GOOD = Row(2, ("a dog runs", "a dog moves"), "entailment")
EMPTY = Row(3, ("a dog runs", " \t"), "entailment")


def test_rows_become_columns_that_remember_where_they_were() -> None:
    texts = gather(RTE, [GOOD, Row(5, ("x", "y"), 1)], origin="rte.tsv")
    assert texts.first == ("a dog runs", "x") and texts.second == ("a dog moves", "y")
    assert texts.targets.tolist() == [0, 1] and texts.targets.dtype == np.int64
    assert texts.name(1) == "rte.tsv, line 5" and len(texts) == 2 and texts.damaged == ()


def test_similarities_are_floats() -> None:
    texts = gather(STSB, [Row(1, ("a", "b"), "2.5")], origin="x")
    assert texts.targets.dtype == np.float32 and texts.targets.tolist() == [2.5]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (EMPTY, "rte.tsv, line 3: the sentence2 is empty; repair it, or leave such lines out: --corrupt skip"),
        (Row(4, ("a", "b"), "maybe"), "line 4: the label 'maybe' is none of entailment, not_entailment"),
        (Fault(7, "it is torn"), "line 7: it is torn"),
    ],
)
def test_what_cannot_be_used_ends_it_with_its_line(row: Row | Fault, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        gather(RTE, [GOOD, row], origin="rte.tsv")
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_be_used_is_left_out_and_named_where_that_is_wished() -> None:
    texts = gather(RTE, [GOOD, EMPTY, Fault(7, "it is torn"), GOOD], origin="rte.tsv", corrupt="skip")
    assert len(texts) == 2
    assert texts.damaged == (("rte.tsv, line 3", "the sentence2 is empty"), ("rte.tsv, line 7", "it is torn"))
    assert texts.describe()["damaged"] == 2


def test_a_file_in_which_nothing_can_be_used_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"no line of x can be used: line 3, the first, because the sentence2 is empty"
    ):
        gather(RTE, [EMPTY], origin="x", corrupt="skip")
    with pytest.raises(ValueError, match="x has no line at all"):
        gather(RTE, [], origin="x")


def test_the_fingerprint_depends_on_every_text_and_target() -> None:
    rows = [GOOD, Row(3, ("x", "y"), 1)]
    others = [
        [GOOD, Row(3, ("x", "y"), 0)],
        [GOOD, Row(3, ("x", "z"), 1)],
        [GOOD, Row(3, ("w", "y"), 1)],
        rows[::-1],
    ]
    prints = [gather(RTE, some, origin="x").describe()["fingerprint"] for some in (rows, *others)]
    assert len(set(prints)) == 5
    assert pairs(9).describe() == pairs(9).describe()


def test_some_examples_are_picked_with_all_that_belongs_to_them() -> None:
    texts = pairs(4)
    some = texts.some([3, 1])
    assert len(some) == 2 and some.second is not None and texts.second is not None
    for place, index in enumerate((3, 1)):
        assert (some.first[place], some.second[place]) == (texts.first[index], texts.second[index])
        assert some.targets[place] == texts.targets[index] and some.name(place) == texts.name(index)
    alone = gather(find_task("sst2"), [Row(7, ("good",), "positive"), Row(9, ("bad",), "negative")], origin="b.tsv")
    assert alone.some((1,)).second is None and alone.some((1,)).first == ("bad",)
