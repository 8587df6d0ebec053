"""KURE (Chmiel et al., NeurIPS 2020): LSQ whose weights are asked to be distributed uniformly."""

from __future__ import annotations

from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def kure() -> Recipe:
    """LSQ, and a penalty on the kurtosis of weights (KURE)."""
    return Recipe(
        method="kure",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq"),
        dynamics=DynamicsSettings(penalty=PenaltySettings(kure=1.0)),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
