"""A number that changes along half a cosine: the strength of a penalty, the threshold of freezing."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Ramp:
    """``first`` until the share ``after`` of all steps is done, then along half a cosine to ``last`` at the end.

    VVTQ and Nagel et al.: with u from 0 to 1 over what is left, first + (last - first) (1 - cos(pi u)) / 2.
    """

    steps: int
    last: float
    first: float = 0.0
    after: float = 0.25

    def __call__(self, step: int) -> float:
        """The number when ``step`` steps are done."""
        begin = self.after * self.steps
        if step < begin:
            return self.first
        done = min((step - begin) / max(self.steps - begin, 1e-9), 1.0)
        return self.last + (self.first - self.last) * 0.5 * (1 + math.cos(math.pi * done))

    @property
    def is_flat(self) -> bool:
        """Whether it is the same number at every step."""
        return self.first == self.last
