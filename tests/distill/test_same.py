"""In what two requests differ, in the words of the command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.distill.layout import Layout
from stillbit.distill.manifest import Reading, Shard
from stillbit.distill.same import check_same, differences
from tests.distill.stores import manifest

ONE = manifest(Layout(kind="marginal_smoothing", top_k=5, classes=20))


def test_a_request_is_the_same_as_itself_and_as_the_store_that_came_of_it() -> None:
    made = replace(ONE, shards=(Shard(name="shard-00000.npy", samples=3, sha256="0"),), targets_sha256="1")
    assert differences(ONE, ONE) == differences(made, ONE) == []


def test_each_difference_is_named_by_its_option_and_what_follows_from_it_is_not() -> None:
    other = replace(ONE, seed=9, layout=replace(ONE.layout, top_k=10))
    assert differences(ONE, other) == ["--top-k 5 there and 10 here", "--seed 1 there and 9 here"]


def test_long_values_are_cut_short() -> None:
    names = tuple(f"class {number}" for number in range(20))
    (said,) = differences(ONE, replace(ONE, data=replace(ONE.data, classes=names)))
    assert said == "the classes [] there and ['class 0', 'cla... here"


def test_the_sentence_names_the_first_three_and_counts_the_rest() -> None:
    other = replace(ONE, seed=2, batch_size=3, precision="bf16", views=9)
    with pytest.raises(
        ValueError, match=r"^store is another store \(.*; .*; .*; and 1 more\): give the same options, or"
    ):
        check_same(Path("store"), ONE, other)


def test_texts_are_called_texts() -> None:
    layout = Layout(kind="full", top_k=1, classes=2, boxes=False)
    reading = Reading(task="rte", tokenizer="a", max_length=128)
    one = manifest(layout, views=1, reading=reading)
    other = replace(one, data=replace(one.data, count=9), reading=replace(reading, task="qnli", tokenizer="b"))
    assert differences(one, other) == [
        "the number of examples 7 there and 9 here",
        "--task rte there and qnli here",
        "the tokenizer a there and b here",
    ]
