"""LSQ+ (Bhalgat et al., CVPR Workshops 2020): LSQ whose activations also learn where their grid begins."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def lsq_plus() -> Recipe:
    """Learned scales, and learned offsets for activations (LSQ+)."""
    return Recipe(
        method="lsq_plus",
        quant=QuantSettings(bits="w4a4", weight="lsq+", activation="lsq+"),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
