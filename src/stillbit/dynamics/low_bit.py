"""The weights that this room is about: those of few bits, found by the one walk."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn
from torch.distributed.tensor import DTensor

from stillbit.layers.walk import QuantizedWeight, weights
from stillbit.quantizers.learned_bits import LearnedBits

LOW = (1, 2, 3, 4)
"""Widths at which weights oscillate enough to be looked at (Nagel et al. track up to four bits)."""


def low_bit(model: nn.Module, who: str, bits: Collection[int] = LOW) -> list[QuantizedWeight]:
    """The quantized weights of these widths; ``who`` wants them, and refuses a model that has none."""
    found = list(weights(model))
    chosen = [weight for weight in found if weight.bits in bits]
    if not chosen:
        if any(isinstance(weight.quantizer, LearnedBits) for weight in found):
            raise ValueError(
                f"{who} is for weights of a fixed width, and those of this model learn theirs: leave it out"
            )
        has = " and ".join(map(str, sorted({weight.bits for weight in found}))) or "no quantized ones"
        raise ValueError(f"{who} is for weights of {_listed(bits)} bits, and this model has {has}: leave it out")
    if any(isinstance(weight.parameter, DTensor) for weight in chosen):
        raise ValueError(f"{who} needs whole weights, and FSDP shards them: leave out one of the two")
    return chosen


def _listed(bits: Collection[int]) -> str:
    """1 to 4, or 2 or 4."""
    every = sorted(bits)
    gapless = len(every) > 2 and every == list(range(every[0], every[-1] + 1))
    return f"{every[0]} to {every[-1]}" if gapless else " or ".join(map(str, every))
