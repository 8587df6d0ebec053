"""The table of contents: every method, each a short recipe.

``RECIPES[name]()`` is the recipe with its default values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stillbit.methods.dorefa import dorefa
from stillbit.methods.fp import fp
from stillbit.methods.lsq import lsq
from stillbit.methods.lsq_plus import lsq_plus
from stillbit.methods.pact import pact
from stillbit.methods.recipe import Recipe
from stillbit.methods.statsq import statsq

RECIPES: dict[str, Callable[..., Recipe]] = {
    recipe.__name__: recipe for recipe in (fp, lsq, lsq_plus, statsq, pact, dorefa)
}


def described() -> dict[str, str]:
    """The first sentence of every recipe, by name."""
    return {name: _first(recipe) for name, recipe in RECIPES.items()}


def _first(recipe: Any) -> str:
    return (recipe.__doc__ or "").strip().splitlines()[0]
