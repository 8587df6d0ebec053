"""Recipes that are performed in a second."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.methods import RECIPES
from stillbit.methods.perform import Result, perform
from stillbit.methods.recipe import ModelSettings, Recipe
from stillbit.train.settings import OptimSettings, OutputSettings, ScheduleSettings

MODEL = {"model": "vit_pico_patch4_32", "img_size": 16, "in_chans": 1, "drop_path": 0.1}


def recipe(method: str, root: Path, **settings: Any) -> Recipe:
    """Digits, two epochs of five steps, two bits (or one, if the method has one), and no width before them.

    ``settings`` replace whole groups, but for what they leave out.
    """
    made = RECIPES[method]()
    quant = made.quant
    if quant is not None:
        bits = quant.bits if quant.bits == "w1a1" else "w2a2"
        quant = replace(quant, bits=bits, calibration_images=64, through=(), embedding_bits=None)
    made = replace(
        made,
        quant=quant,
        model=ModelSettings(**MODEL),
        data=DataSettings(dataset="digits", batch_size=256, workers=0),
        augment=AugmentSettings(scale=(0.8, 1.0), hflip=0.0),
        optim=OptimSettings(lr=3e-3),
        schedule=ScheduleSettings(epochs=2),
        output=OutputSettings(output=root, experiment="run", log_interval=2),
    )
    return change(made, **settings)


def change(recipe: Recipe, **settings: dict[str, Any]) -> Recipe:
    """The recipe with some choices of some groups replaced."""
    return replace(recipe, **{name: replace(getattr(recipe, name), **inside) for name, inside in settings.items()})


def run(recipe: Recipe) -> tuple[Result, str]:
    """How it ended, and what was said."""
    file = io.StringIO()
    result = perform(recipe, Console(file=file, force_terminal=False, width=200))
    return result, file.getvalue()
