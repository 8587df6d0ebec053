"""Q-ViT (Li et al., arXiv 2201.07703): how many bits a layer or a head has is learned, within a budget."""

from __future__ import annotations

from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def qvit_mixed() -> Recipe:
    """Bits that are learned for each layer and each head, within a budget (Q-ViT, mixed precision)."""
    return Recipe(
        method="qvit_mixed",
        quant=QuantSettings(
            bits="w5a5",
            weight="learned_bits",
            activation="learned_bits",
            granularity="head",
            activation_granularity="head",
        ),
        optim=OptimSettings(lr=2e-4, weight_decay=0.05),
        schedule=ScheduleSettings(epochs=300),
    )
