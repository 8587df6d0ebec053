"""Q-ViT (Li et al., NeurIPS 2022, arXiv 2210.06707): query and key that carry as much as their bits can.

* IRM: a learned mean and spread for query and key of each head before they snap: ``rectify``;
* DGD: tokens of a head shall relate as the teacher's do: ``relations``.
"""

from __future__ import annotations

from stillbit.distill.settings import SELF, DistillSettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def qvit() -> Recipe:
    """Query and key rectified before they snap, and related as the teacher's are (Q-ViT, IRM and DGD)."""
    return Recipe(
        method="qvit",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq", rectify=True),
        distill=DistillSettings(teacher=SELF, distillation="hard", relations=1.0),
        optim=OptimSettings(opt="lamb", lr=3e-4, weight_decay=0.0),
        schedule=ScheduleSettings(epochs=300),
    )
