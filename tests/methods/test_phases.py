"""A recipe is a list of phases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stillbit.dynamics.settings import AnnealSettings
from stillbit.methods import RECIPES
from stillbit.methods.phases import Phase, phases, scheduled, words
from stillbit.train.settings import ScheduleSettings


def test_most_recipes_have_one_phase() -> None:
    for name, recipe in RECIPES.items():
        if name != "ofq":
            assert phases(recipe()) == (Phase("train", recipe().schedule.epochs),)
            assert scheduled(recipe()) == recipe().schedule
    assert words(RECIPES["gplq"]()) == "train 1 epoch"


def test_ofq_trains_and_then_anneals() -> None:
    assert phases(RECIPES["ofq"]()) == (Phase("train", 300), Phase("anneal", 30))
    assert scheduled(RECIPES["ofq"]()).epochs == 300
    assert words(RECIPES["ofq"]()) == "train 300 epochs, then anneal 30"


@pytest.mark.parametrize(
    ("schedule", "said"),
    [
        ({"epochs": 30, "min_lr": 1e-5}, "--epochs 60"),
        ({"epochs": 40}, "--min-lr 1e-5, or --anneal-epochs 0"),
        ({"epochs": 40, "min_lr": 1e-5, "patience": 2}, "leave out --patience or --anneal-epochs"),
    ],
)
def test_phases_that_cannot_be_are_refused(schedule: dict[str, float], said: str) -> None:
    recipe = RECIPES["lsq"]()
    dynamics = replace(recipe.dynamics, anneal=AnnealSettings(anneal_epochs=30))
    with pytest.raises(ValueError) as caught:
        phases(replace(recipe, dynamics=dynamics, schedule=ScheduleSettings(**schedule)))  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_a_constant_rate_needs_no_end() -> None:
    recipe = RECIPES["lsq"]()
    dynamics = replace(recipe.dynamics, anneal=AnnealSettings(anneal_epochs=1))
    schedule = ScheduleSettings(epochs=3, sched="constant")
    assert len(phases(replace(recipe, dynamics=dynamics, schedule=schedule))) == 2
