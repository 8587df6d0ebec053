"""VVTQ (Huang et al., "Quantization Variation", arXiv 2307.00331) for encoders of texts, one bit first.

The pillars are those of `vvtq`, each with what it means where there are no pixels:

* MDQ, module-dependent scales: ``granularity`` and ``gradscale``, and a scale a row for the words, ``embedding_bits``;
* OBR, bins that are pulled together: ``bin_reg``, for weights of 2 to 4 bits; one bit has no bin between two others;
* MCKD, a teacher's stored answers: ``labels``, one an example, for a text is not cropped.

At one bit activations are elastic, and ReLU stands in place of GELU, as in BiT.
"""

from __future__ import annotations

from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import DynamicsSettings, PenaltySettings
from stillbit.methods.recipe import ModelSettings, QuantSettings, Recipe
from stillbit.methods.widths import width_of
from stillbit.train.settings import OptimSettings, ScheduleSettings

BINS = (2, 3, 4)
"""Widths of weights with bins to pull together."""


def vvtq_text(bits: str = "w1a1") -> Recipe:
    """Binary encoders of texts: a scale for each head, stored answers, calm bins above one bit (VVTQ)."""
    width = width_of(bits) or width_of("w1a1")
    assert width is not None
    one = QuantSettings(
        bits="w1a1",
        weight="lsq",
        activation="elastic",
        granularity="head",
        gradscale="by_magnitude",
        embedding_bits=width.weights,
    )
    penalty = PenaltySettings(bin_reg=0.1, bin_reg_bits=BINS) if width.weights in BINS else PenaltySettings()
    return Recipe(
        method="vvtq_text",
        model=ModelSettings(relu=width.activations == 1),
        quant=one.at(f"w{width.weights}a{width.activations}"),
        distill=DistillSettings(taught=True),
        dynamics=DynamicsSettings(penalty=penalty),
        optim=OptimSettings(lr=5e-4, weight_decay=0.01),
        schedule=ScheduleSettings(epochs=20, sched="linear", warmup_epochs=2),
    )
