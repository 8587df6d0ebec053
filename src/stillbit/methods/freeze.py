"""Iterative freezing (Nagel et al., arXiv 2203.11086): LSQ in which weights that oscillate keep their code for good."""

from __future__ import annotations

from stillbit.dynamics.settings import DynamicsSettings, FreezeSettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def freeze() -> Recipe:
    """LSQ, and weights that oscillate keep their code for good (iterative freezing)."""
    return Recipe(
        method="freeze",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq"),
        dynamics=DynamicsSettings(freeze=FreezeSettings(freeze=True)),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
