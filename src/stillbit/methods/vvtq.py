"""VVTQ (Huang et al., "Quantization Variation", arXiv 2307.00331): quantization that knows how modules differ.

Three pillars, each of which can be taken away on the command line, as in the paper's Table 4:

* MDQ, module-dependent scales: ``granularity`` and ``gradscale``;
* OBR, oscillation-aware bin regularization: ``bin_reg``;
* MCKD, multi-crop knowledge distillation: ``labels``, a store that a teacher has written.
"""

from __future__ import annotations

from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def vvtq() -> Recipe:
    """A scale for each head, stored labels of many crops, and bins that are pulled together (VVTQ)."""
    return Recipe(
        method="vvtq",
        quant=QuantSettings(bits="w4a4", weight="lsq", activation="lsq", granularity="head", gradscale="by_magnitude"),
        distill=DistillSettings(taught=True),
        dynamics=DynamicsSettings(penalty=PenaltySettings(bin_reg=0.1, bin_reg_bits=(2, 3, 4))),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=150),
    )
