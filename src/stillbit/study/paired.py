"""The little statistics of a study: means and spreads over seeds, and differences seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from statistics import fmean, stdev
from typing import Literal, NamedTuple

LEAST = 3
"""Seeds without which nothing is judged."""
T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""Student's t for 1 to 30 degrees of freedom: 95 % lie within, 2.5 % beyond each side."""
NORMAL = 1.95996
Verdict = Literal["held", "not held", "within noise", "too few seeds"]


class Sample(NamedTuple):
    """Numbers of several seeds."""

    seeds: int
    mean: float
    spread: float | None
    """Standard deviation of one seed; None of a single one."""

    @property
    def half(self) -> float | None:
        """Half the length of the interval that holds the mean with 95 %; None of a single seed."""
        return None if self.spread is None else quantile(self.seeds - 1) * self.spread / sqrt(self.seeds)


def sample(values: Sequence[float]) -> Sample | None:
    """Of at least one number."""
    if not values:
        return None
    return Sample(len(values), fmean(values), stdev(values) if len(values) > 1 else None)


def quantile(freedom: int) -> float:
    """Student's t at 97.5 %; above the table by the first three terms of its expansion in 1 / freedom."""
    assert freedom >= 1, "one number has no spread"
    if freedom <= len(T):
        return T[freedom - 1]
    z = NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def pooled(samples: Sequence[Sample]) -> float | None:
    """One spread for all: the root of the mean variance, each weighted by what its seeds are worth."""
    held = [(one.seeds - 1, one.spread) for one in samples if one.spread is not None]
    worth = sum(freedom for freedom, _ in held)
    return sqrt(sum(freedom * spread**2 for freedom, spread in held) / worth) if worth else None


def above(differences: Sequence[float]) -> Verdict:
    """Whether differences of the same seeds are above zero: held if their interval is, not held if it is below."""
    found = sample(differences)
    if found is None or found.seeds < LEAST:
        return "too few seeds"
    assert found.half is not None
    if found.mean - found.half > 0:
        return "held"
    return "not held" if found.mean + found.half < 0 else "within noise"


def within(differences: Sequence[float], margin: float) -> Verdict:
    """Whether they are at most a margin from zero: held if their interval is inside, not held if it is outside."""
    found = sample(differences)
    if found is None or found.seeds < LEAST:
        return "too few seeds"
    assert found.half is not None
    low, high = found.mean - found.half, found.mean + found.half
    if -margin < low and high < margin:
        return "held"
    return "not held" if low > margin or high < -margin else "within noise"
