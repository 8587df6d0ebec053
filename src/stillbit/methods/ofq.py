"""OFQ (Liu et al., "Oscillation-free Quantization", ICML 2023, arXiv 2302.02210): weights that have nothing to chase.

* StatsQ: weight scales are statistics, so no scale is learned against its own weights;
* QKR: query and key are one matrix, so neither chases the other's codes: ``merge_qk``;
* CGA: at the end only weights close to a boundary still move: ``anneal_epochs``.

The float model teaches; activations have scales for each token and learned shifts for each channel.
"""

from __future__ import annotations

from stillbit.distill.settings import SELF, DistillSettings
from stillbit.dynamics.settings import AnnealSettings, DynamicsSettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def ofq() -> Recipe:
    """Scales from statistics, query and key merged, taught by the float model, annealed (OFQ)."""
    return Recipe(
        method="ofq",
        quant=QuantSettings(
            bits="w4a4",
            weight="statsq",
            activation="lsq",
            activation_granularity="token",
            moves=True,
            merge_qk=True,
        ),
        distill=DistillSettings(teacher=SELF),
        dynamics=DynamicsSettings(anneal=AnnealSettings(anneal_epochs=30)),
        optim=OptimSettings(lr=5.47e-4, weight_decay=0.05),
        schedule=ScheduleSettings(epochs=330, warmup_epochs=5, min_lr=1e-5),
    )
