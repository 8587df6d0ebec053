"""StatsQ (OFQ, arXiv 2302.02210): weight scales that follow the weights' mean magnitude instead of being learned."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def statsq() -> Recipe:
    """Weight scales from statistics, activation scales learned (the quantizers of OFQ)."""
    return Recipe(
        method="statsq",
        quant=QuantSettings(bits="w4a4", weight="statsq", activation="lsq"),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
