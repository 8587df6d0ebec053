"""The float model: what every other method begins with and is measured against."""

from __future__ import annotations

from stillbit.methods.recipe import Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def fp() -> Recipe:
    """Train in float, with DeiT's AdamW and cosine."""
    return Recipe(
        method="fp",
        optim=OptimSettings(lr=1e-3, weight_decay=0.05),
        schedule=ScheduleSettings(epochs=100, warmup_epochs=5),
    )
