"""GPLQ (NeurIPS 2025): activations first, one epoch beside the float model's features; then weights, untrained."""

from __future__ import annotations

from stillbit.distill.settings import SELF, DistillSettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def gplq() -> Recipe:
    """Activations in one epoch, beside the float model's features; then weights, untrained (GPLQ)."""
    return Recipe(
        method="gplq",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq", weights_last=True),
        distill=DistillSettings(taught=True, teacher=SELF, teacher_share=1.0, features=1.0),
        optim=OptimSettings(lr=5e-6, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=1),
    )
