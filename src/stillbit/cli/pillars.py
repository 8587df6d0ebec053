"""A pillar of a method that the words take away goes with all that the method says of it.

``stillbit train vvtq --bin-reg 0`` need not say also that there are no widths to regularize: the recipe chose those,
and a choice without effect is refused only where a person made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import PenaltySettings
from stillbit.methods.recipe import Recipe


def without(recipe: Recipe, words: Sequence[str]) -> Recipe:
    """The recipe to which ``words`` are to be applied, without what they leave no use for."""
    said = _said(words)
    if said.get("--teacher") == "None" or ("--labels" in said and "--teacher" not in said):
        recipe = replace(recipe, distill=DistillSettings(taught=recipe.distill.taught))
    if _is_zero(said.get("--bin-reg")):
        recipe = _without_bins(recipe)
    if said.get("--bits", "").lower().endswith("a32") and recipe.quant is not None:
        recipe = replace(recipe, quant=replace(recipe.quant, moves=False, activation_granularity="tensor"))
    return recipe


def _without_bins(recipe: Recipe) -> Recipe:
    penalty = recipe.dynamics.penalty
    bins: dict[str, Any] = {f.name: f.default for f in fields(PenaltySettings) if f.name.startswith("bin_reg")}
    return replace(recipe, dynamics=replace(recipe.dynamics, penalty=replace(penalty, **bins)))


def _said(words: Sequence[str]) -> dict[str, str]:
    """Every flag with the word behind it; the last one counts."""
    said = {}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("--"):
            flag, equals, value = word.partition("=")
            said[flag.replace("_", "-")] = value if equals else following
    return said


def _is_zero(word: str | None) -> bool:
    try:
        return word is not None and float(word) == 0
    except ValueError:
        return False
