"""Dampening (Nagel et al., arXiv 2203.11086): LSQ whose weights are pulled to the middle of their bins."""

from __future__ import annotations

from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def dampen() -> Recipe:
    """LSQ, and a penalty that pulls weights to the middle of their bins (dampening)."""
    return Recipe(
        method="dampen",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq"),
        dynamics=DynamicsSettings(penalty=PenaltySettings(dampen=0.1)),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
