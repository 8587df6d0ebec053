"""One word takes a pillar of a method away, whatever else the method says of it."""

from __future__ import annotations

import pytest

from stillbit.cli.options import parse
from stillbit.cli.pillars import listed, without
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
        "bit --hidden 0",
        "bit --no-relu",
        "bit --through",
        "bit --through w32a32",
        "bit --teacher somebody",
        "bit --teacher None --no-taught",
        "bit --weight lsq --activation lsq",
        "bit --task rte --embedding-bits 8",
        "bit --bits w1a2",
        "bit --bits w4a4",
        "bit --bits w2a32",
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
        words = ["--lr", "1e-3", "--bin-reg", "0.5", "--task", "rte"]
        assert without(recipe(), words) == recipe(), name
        if name not in OF_ONE_BIT:
            assert without(recipe(), [*words, "--bits", "w3a3"]) == recipe(), name


OF_ONE_BIT = ("bit", "vvtq_text")
"""Methods with words that mean something at one bit alone."""


def test_at_more_bits_a_method_of_one_bit_has_learned_scales_and_goes_through_what_is_above() -> None:
    one, two, four = (parsed(f"bit --task rte --bits {bits}").quant for bits in ("w1a1", "w1a2", "w4a4"))
    assert one and two and four
    assert (one.through, two.through, four.through) == (("w32a32", "w1a2"), ("w32a32",), ("w32a32",))
    assert (one.activation, two.activation, four.activation) == ("elastic", "lsq", "lsq")
    assert (one.weight, two.weight, four.weight) == ("sign", "sign", "lsq")
    assert (one.embedding_bits, two.embedding_bits, four.embedding_bits) == (1, 1, 4)
    said = parsed("bit --task rte --bits w4a4 --embedding-bits 8 --weight statsq --through w8a8").quant
    assert said and (said.embedding_bits, said.weight, said.through) == (8, "statsq", ("w8a8",))


def test_images_have_no_words_to_quantize() -> None:
    quant = parsed("bit").quant
    assert quant and quant.embedding_bits is None


def test_a_teacher_that_is_named_takes_the_place_of_the_widths_before() -> None:
    alone, along = parsed("bit --teacher somebody"), parsed("bit --teacher somebody --through w32a32 w1a2")
    assert alone.quant and along.quant and not alone.quant.through and along.quant.through == ("w32a32", "w1a2")
    assert alone.distill.hidden == 1.0, "what is learned from a teacher stays"
    stored = parsed("bit --labels store")
    assert stored.quant and not stored.quant.through and stored.distill.hidden == 0


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("--through w32a32 w1a2 --lr 1", ["w32a32", "w1a2"]),
        ("--through --lr 1", []),
        ("--through=w8a8 w4a4", ["w8a8", "w4a4"]),
        ("--through a --through b", ["b"]),
        ("--lr 1", None),
    ],
)
def test_the_words_behind_a_flag_are_those_up_to_the_next(line: str, found: list[str] | None) -> None:
    assert listed(line.split(), "--through") == found
