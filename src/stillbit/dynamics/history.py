"""How layers fared over a training: a few moments, evenly apart, however long it takes."""

from __future__ import annotations

from typing import Any, NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

MOST = 128
"""Moments that are kept. When there are as many, every second one is dropped, and they come half as often."""
FIRST = 10
"""Looks between the first moments: they cost a tenth of a look at most, and nothing in a long training."""


class Past(NamedTuple):
    """The steps of the moments, and a row a moment with a number a layer."""

    steps: Int[Tensor, " moments"]
    shares: Float[Tensor, "moments layers"]
    """Of the weights of the layer, how many oscillated."""
    scales: Float[Tensor, "moments layers"]
    """The mean scale of the layer."""


@final
class History:
    """Remembers a share and a scale of every layer, in an order that the owner keeps."""

    def __init__(self, layers: int) -> None:
        """Nothing is remembered yet."""
        self.every, self.kept = FIRST, 0
        self.steps = torch.zeros(MOST, dtype=torch.int64)
        self.shares = torch.zeros(MOST, layers, dtype=torch.float64)
        self.scales = torch.zeros(MOST, layers, dtype=torch.float64)

    def is_due(self, looks: int) -> bool:
        """Whether the moment after so many looks is to be kept."""
        return looks % self.every == 0

    def add(self, step: int, shares: Float[Tensor, " layers"], scales: Float[Tensor, " layers"]) -> None:
        """Keep the moment after ``step`` steps."""
        self.steps[self.kept], self.shares[self.kept], self.scales[self.kept] = step, shares.cpu(), scales.cpu()
        self.kept += 1
        if self.kept == MOST:
            half = MOST // 2
            for held in (self.steps, self.shares, self.scales):
                # The second, fourth, ...: the last of all stays, and is a multiple of the new distance.
                held[:half] = held[1::2].clone()
            self.every, self.kept = 2 * self.every, half

    def past(self) -> Past:
        """What is remembered, oldest first."""
        return Past(*(held[: self.kept].clone() for held in (self.steps, self.shares, self.scales)))

    def state(self) -> dict[str, Any]:
        """Everything, as it is at this moment."""
        return {"every": self.every, **self.past()._asdict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; an empty one, as older checkpoints have it, means: nothing is remembered."""
        self.every, self.kept = int(state.get("every", FIRST)), len(state.get("steps", ()))
        for name in Past._fields if state else ():
            getattr(self, name)[: self.kept] = state[name]
