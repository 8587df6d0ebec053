"""PACT (Choi et al., arXiv 1805.06085): activations clip at a learned level, weights are DoReFa's."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def pact() -> Recipe:
    """Learned clip levels for activations, squashed weights (PACT)."""
    return Recipe(
        method="pact",
        quant=QuantSettings(bits="w4a4", weight="dorefa", activation="pact"),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=100),
    )
