"""Which codes of a weight are frozen, and at what: iterative freezing (Nagel et al., arXiv 2203.11086), on codes alone.

A weight freezes when the running frequency of its oscillation passes a threshold, at the code nearest to the running
mean of its codes. The released code decides that code anew in every step in which the frequency is still above the
threshold, so that what is frozen can go on flipping in a cycle of two; here it is decided once.
"""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from stillbit.dynamics.flips import Flips
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import to_code


@final
class Pins:
    """The memory of one weight: flips, the running mean of the codes, what is frozen, and its code."""

    def __init__(self, codes: Int[Tensor, "*shape"], grid: Grid, dtype: torch.dtype = torch.float32) -> None:
        """Begin at these codes; nothing is frozen."""
        self.grid = grid
        self.flips = Flips(codes, dtype)
        self.average = codes.to(dtype)
        self.frozen = torch.zeros_like(codes, dtype=torch.bool)
        self.codes = torch.zeros_like(codes, dtype=torch.int8)

    def see(self, codes: Int[Tensor, "*shape"], threshold: float, momentum: float) -> Bool[Tensor, "*shape"]:
        """Take in the codes of now; which weights freeze now. A threshold of zero freezes none."""
        self.flips.see(codes, momentum)
        fresh = torch.zeros_like(self.frozen)
        if threshold > 0:
            fresh = (self.flips.frequency > threshold) & ~self.frozen
            one = torch.ones((), dtype=self.average.dtype, device=self.average.device)
            nearest = to_code(self.average + self.grid.offset, one, self.grid).to(torch.int8)
            self.codes = nearest.where(fresh, self.codes)
            self.frozen |= fresh
        self.average.mul_(1 - momentum).add_(codes, alpha=momentum)
        return fresh

    def state(self) -> dict[str, Any]:
        """Everything, as it is at this moment."""
        own = {name: getattr(self, name).clone() for name in ("average", "frozen", "codes")}
        return {**own, "flips": self.flips.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``, on the device of now."""
        for name in ("average", "frozen", "codes"):
            now = getattr(self, name)
            setattr(self, name, state[name].to(now.device, now.dtype, copy=True))
        self.flips.load_state(state["flips"])
