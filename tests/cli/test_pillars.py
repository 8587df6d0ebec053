"""One word takes a pillar of a method away, whatever else the method says of it."""

from __future__ import annotations

import pytest

from stillbit.cli.options import parse
from stillbit.cli.pillars import without
from stillbit.cli.train import Train
from stillbit.methods import RECIPES
from stillbit.methods.recipe import Recipe


def parsed(line: str) -> Recipe:
    name, *words = line.split()
    return parse(Train, words, prog="stillbit train", default=Train(recipe=without(RECIPES[name](), words))).recipe


def quiet(recipe: Recipe) -> bool:
    return recipe.dynamics.penalty.bin_reg == 0 and recipe.distill.teacher is None


@pytest.mark.parametrize(
    "line",
    [
        "vvtq --granularity channel",
        "vvtq --gradscale by_count",
        "vvtq --no-taught",
        "vvtq --bin-reg 0",
        "vvtq --bin-reg=0.0 --no-taught --granularity tensor",
        "ofq --weight lsq",
        "ofq --no-merge-qk",
        "ofq --no-moves",
        "ofq --activation-granularity tensor",
        "ofq --teacher None",
        "ofq --anneal-epochs 0",
        "ofq --bits w2a32",
        "qvit --no-rectify",
        "qvit --relations 0",
        "qvit --distillation soft",
        "qvit --teacher None",
        "qvit --teacher=None",
        "qvit_mixed --activation-granularity tensor --granularity tensor",
        "gplq --features 0",
        "gplq --no-weights-last",
        "gplq --teacher None --no-taught",
        "dampen --dampen 0",
        "freeze --no-freeze",
        "kure --kure 0",
    ],
)
def test_every_pillar_of_every_method_is_turned_off_by_one_word(line: str) -> None:
    assert parsed(line).method == line.split()[0]


def test_what_belongs_to_a_pillar_goes_with_it() -> None:
    assert parsed("vvtq --bin-reg 0").dynamics.penalty == RECIPES["lsq"]().dynamics.penalty
    assert quiet(parsed("qvit --teacher None")) and parsed("qvit --teacher None").distill == RECIPES["lsq"]().distill


def test_stored_labels_take_the_place_of_a_methods_own_teacher() -> None:
    recipe = parsed("ofq --labels store")
    assert recipe.distill.teacher is None and str(recipe.distill.labels) == "store"


def test_what_a_person_asks_for_and_takes_away_is_refused() -> None:
    for line, said in (
        ("vvtq --bin-reg 0 --bin-reg-form sum", "--bin-reg-form has no effect without --bin-reg"),
        ("qvit --teacher None --relations 1", "--relations has no effect without a teacher"),
        ("ofq --bits w2a32 --moves", "--moves is for activations that snap"),
        ("ofq --labels store --teacher self", "leave out --labels or --teacher"),
    ):
        with pytest.raises(ValueError) as caught:
            parsed(line)
        assert said in str(caught.value)


def test_a_recipe_without_such_words_stays_as_it_is() -> None:
    for name, recipe in RECIPES.items():
        assert without(recipe(), ["--lr", "1e-3", "--bin-reg", "0.5", "--bits", "w3a3"]) == recipe(), name
