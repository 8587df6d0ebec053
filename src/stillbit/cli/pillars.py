"""A pillar of a method that the words take away goes with all that the method says of it.

``stillbit train vvtq --bin-reg 0`` need not say also that there are no widths to regularize: the recipe chose those,
and a choice without effect is refused only where a person made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from inspect import signature
from typing import Any

from stillbit.distill.settings import BEFORE, DistillSettings
from stillbit.dynamics.settings import PenaltySettings
from stillbit.methods import RECIPES
from stillbit.methods.recipe import Recipe
from stillbit.methods.widths import width_of


def begun(name: str, words: Sequence[str]) -> Recipe:
    """The recipe of a method; one that says other things at other widths, as it is at the width of ``words``."""
    make, bits = RECIPES[name], said_in(words).get("--bits")
    return make() if bits is None or "bits" not in signature(make).parameters else make(bits)


def without(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe to which ``words`` are to be applied, without what they leave no use for."""
    said = said_in(words)
    if said.get("--teacher") == "None" or ("--labels" in said and "--teacher" not in said):
        recipe = replace(recipe, distill=DistillSettings(taught=recipe.distill.taught))
    if _is_zero(said.get("--bin-reg")):
        recipe = _without_bins(recipe)
    if recipe.quant is None:
        return recipe
    if said.get("--bits", "").lower().endswith("a32"):
        recipe = replace(recipe, quant=replace(recipe.quant, moves=False, activation_granularity="tensor"))
    return _at_width(_without_chain(recipe, said), said)


def _without_chain(recipe: Recipe, said: dict[str, str]) -> Recipe:
    """A teacher that a person names, and stored labels, take the place of the widths before."""
    quant, named = recipe.quant, "--labels" in said or said.get("--teacher", BEFORE) != BEFORE
    assert quant is not None
    return replace(recipe, quant=replace(quant, through=())) if named and "--through" not in said else recipe


def _at_width(recipe: Recipe, said: dict[str, str]) -> Recipe:
    """What only one bit has is learned scales at more; words have the bits of weights; images have no words."""
    own, width = recipe.quant, width_of(said.get("--bits", ""))
    assert own is not None
    quant = own
    if width is not None:
        higher = tuple(w for w in own.through if (above := width_of(w)) and width.narrower(above))
        quant = replace(own.at(said["--bits"]), bits=own.bits, through=() if "--through" in said else higher)
        if quant.embedding_bits is not None:
            quant = replace(quant, embedding_bits=width.weights)
    if not said.get("--task", recipe.text.task):
        quant = replace(quant, embedding_bits=None)
    return replace(recipe, quant=quant)


def _without_bins(recipe: Recipe) -> Recipe:
    penalty = recipe.dynamics.penalty
    bins: dict[str, Any] = {f.name: f.default for f in fields(PenaltySettings) if f.name.startswith("bin_reg")}
    return replace(recipe, dynamics=replace(recipe.dynamics, penalty=replace(penalty, **bins)))


def said_in(words: Sequence[str]) -> dict[str, str]:
    """Every flag with the word behind it; the last one counts."""
    said = {}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            said[flag.replace("_", "-")] = value if equals else following
    return said


def listed(words: Sequence[str], flag: str) -> list[str] | None:
    """The words behind the last such flag, up to the next one; None if it was not said."""
    found, here = None, False
    for word in words:
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            here = name.replace("_", "-") == flag
            found = ([value] if equals else []) if here else found
        elif here and found is not None:
            found.append(word)
    return found


def _is_zero(word: str | None) -> bool:
    try:
        return word is not None and float(word) == 0
    except ValueError:
        return False
