"""How often the codes of a weight change, and turn back (equations 10 and 11 of VVTQ)."""

from __future__ import annotations

from typing import Any, final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

MOST = 2**15 - 1
"""Flips of one weight are counted up to here."""


@final
class Flips:
    """The memory of one weight's codes, nine bytes a weight.

    A weight oscillates at a look if its code changed, and the change before it went the other way. The frequency is
    the running mean f = m o + (1 - m) f of that, where o is 1 or 0. (Equation 11 prints the sign of the change in its
    place, which would cancel; the released code and Nagel et al. have the indicator.)
    """

    def __init__(self, codes: Int[Tensor, "*shape"], dtype: torch.dtype = torch.float32) -> None:
        """Begin at these codes; ``dtype`` is that of the frequency."""
        self.codes = codes.to(torch.int8)
        self.begin = self.codes.clone()
        self.direction = torch.zeros_like(self.codes)
        self.count = torch.zeros_like(self.codes, dtype=torch.int16)
        self.frequency = torch.zeros_like(self.codes, dtype=dtype)

    def see(self, codes: Int[Tensor, "*shape"], momentum: float) -> Bool[Tensor, "*shape"]:
        """Take in the codes of now; which weights oscillate."""
        codes = codes.to(torch.int8)
        change = (codes > self.codes).to(torch.int8) - (codes < self.codes).to(torch.int8)
        moved = change != 0
        oscillates = change * self.direction == -1
        self.direction = change.where(moved, self.direction)
        self.count.add_(moved & (self.count < MOST))
        self.frequency.mul_(1 - momentum).add_(oscillates, alpha=momentum)
        self.codes = codes
        return oscillates

    def state(self) -> dict[str, Any]:
        """Everything, as it is at this moment."""
        return {name: tensor.detach().clone() for name, tensor in vars(self).items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``, on the device of now."""
        for name, tensor in vars(self).items():
            setattr(self, name, state[name].to(tensor.device, tensor.dtype, copy=True))
