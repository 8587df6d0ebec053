"""DoReFa-Net (Zhou et al., arXiv 1606.06160): fixed ranges, weights squashed by tanh. Nothing of a scale is learned."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def dorefa() -> Recipe:
    """Squashed weights, and activations on a fixed range (DoReFa)."""
    return Recipe(
        method="dorefa",
        quant=QuantSettings(bits="w4a4", weight="dorefa", activation="dorefa"),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
