"""The table of contents: every method, each a short recipe.

``RECIPES[name]()`` is the recipe with its default values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stillbit.methods.bit import bit
from stillbit.methods.dampen import dampen
from stillbit.methods.dorefa import dorefa
from stillbit.methods.fp import fp
from stillbit.methods.freeze import freeze
from stillbit.methods.gplq import gplq
from stillbit.methods.kure import kure
from stillbit.methods.lsq import lsq
from stillbit.methods.lsq_plus import lsq_plus
from stillbit.methods.ofq import ofq
from stillbit.methods.pact import pact
from stillbit.methods.qvit import qvit
from stillbit.methods.qvit_mixed import qvit_mixed
from stillbit.methods.recipe import Recipe
from stillbit.methods.statsq import statsq
from stillbit.methods.still import still
from stillbit.methods.vvtq import vvtq
from stillbit.methods.vvtq_text import vvtq_text

RECIPES: dict[str, Callable[..., Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        *(fp, lsq, lsq_plus, statsq, pact, dorefa, vvtq, ofq),
        *(qvit, qvit_mixed, dampen, freeze, kure, gplq, still, bit, vvtq_text),
    )
}


def described() -> dict[str, str]:
    """The first sentence of every recipe, by name."""
    return {name: _first(recipe) for name, recipe in RECIPES.items()}


def _first(recipe: Any) -> str:
    return (recipe.__doc__ or "").strip().splitlines()[0]
