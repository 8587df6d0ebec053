"""Judged again, a run gets the scores it got while it trained."""

from __future__ import annotations

import csv

import pytest

from stillbit.methods.judge import judge
from stillbit.methods.target import Target, open_target, with_data
from tests.methods import small
from tests.methods.conftest import Ran


@pytest.mark.parametrize(("name", "column"), [("float_run", "top1"), ("low_bit_run", "ema_top1")])
def test_a_run_gets_the_score_again_that_it_was_best_with(
    name: str, column: str, request: pytest.FixtureRequest
) -> None:
    ran: Ran = request.getfixturevalue(name)
    scores = judge(open_target(str(ran.folder)), device="cpu").scores
    with (ran.folder / "summary.csv").open() as file:
        best = max(float(row[column]) for row in csv.DictReader(file))
    assert scores["top1"] == best == ran.result.best["top1"] and scores["images"] == 450
    other = judge(with_batch(open_target(str(ran.folder)), 101), device="cpu").scores
    assert other["top1"] == scores["top1"]


def with_batch(target: Target, size: int) -> Target:
    return target._replace(recipe=with_data(target.recipe, batch_size=size))


def test_a_model_with_too_few_outputs_is_refused(float_run: Ran) -> None:
    recipe = small.change(float_run.recipe, model={"num_classes": 4})
    target = Target(open_target("vit_pico_patch4_32", classes=4).model, recipe, "")
    with pytest.raises(ValueError, match="tells 4 classes apart and the data has 10: evaluate it on the data it was"):
        judge(target, device="cpu")
