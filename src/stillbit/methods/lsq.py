"""LSQ (Esser et al., arXiv 1902.08153): step sizes learned by gradient, the plain baseline of all others."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def lsq() -> Recipe:
    """Learned scales for weights and activations (LSQ)."""
    return Recipe(
        method="lsq",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq"),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
