"""BiT (Liu et al., "Robustly Binarized Multi-distilled Transformer", arXiv 2205.13016): one bit, step by step.

* elastic activations, {0, 1} behind softmax and ReLU, {-1, 1} elsewhere, learn size and threshold: ``elastic``;
* weights are centred signs of mean magnitude, word embeddings row by row: ``sign``, ``embedding_bits``;
* the float model teaches a model of two-bit activations, which teaches the one of one bit: ``through``, ``before``;
* what is taught are the teacher's answer and the states of all its layers, and no label: ``teacher_share``, ``hidden``.
"""

from __future__ import annotations

from stillbit.distill.settings import BEFORE, DistillSettings
from stillbit.methods.recipe import ModelSettings, QuantSettings, Recipe
from stillbit.train.settings import OptimSettings, ScheduleSettings


def bit() -> Recipe:
    """One bit for weights, words and activations, taught width by width (BiT)."""
    return Recipe(
        method="bit",
        model=ModelSettings(relu=True),
        quant=QuantSettings(
            bits="w1a1",
            weight="sign",
            activation="elastic",
            granularity="tensor",
            embedding_bits=1,
            through=("w32a32", "w1a2"),
        ),
        distill=DistillSettings(taught=True, teacher=BEFORE, teacher_share=1.0, hidden=1.0),
        optim=OptimSettings(lr=5e-4, weight_decay=0.01, scale_lr=1e-4),
        schedule=ScheduleSettings(epochs=20, sched="linear", warmup_epochs=2),
    )
