"""Still: our own sentence, of words that others found; which ones, a study on other classes and seeds has decided.

* weight scales are statistics, with the range that fits the width (OFQ's StatsQ, without its clipping above two bits);
* activations learn where their grid begins, not behind a GELU alone (LSQ+);
* stored labels, which the float model itself may have written, so that nobody is asked while it trains (MCKD);
* bins are pulled together towards the end (OBR).

A step costs about 1.2 times one of plain LSQ; OFQ's costs 1.4.
"""

from __future__ import annotations

from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.methods.recipe import QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def still() -> Recipe:
    """Statistical scales that fit the width, offsets, stored labels, and calm bins (our own)."""
    return Recipe(
        method="still",
        quant=QuantSettings(bits="w4a4", weight="statsq", reach="bits", activation="lsq+"),
        distill=DistillSettings(taught=True),
        dynamics=DynamicsSettings(penalty=PenaltySettings(bin_reg=0.1, bin_reg_bits=(2, 3, 4))),
        optim=OptimSettings(lr=5e-4, weight_decay=1e-4),
        schedule=ScheduleSettings(epochs=150),
    )
