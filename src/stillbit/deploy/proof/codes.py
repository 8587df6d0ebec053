"""Code by code: where another implementation rounds otherwise than the reference, and whether it had a reason.

Low bits make one flipped code a thousand, a few layers on. So the reference goes on with the codes of the other side:
each of its own codes is then computed from what the other had too, and a difference is of this step alone. Two float32
implementations may sum in another order. Where the value before rounding lies within that error of the boundary between
two codes, either is right: a *tie*. Any other difference is *wrong*, and so is any between sums of integers,
or between codes that were looked up in a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float32
from numpy import ndarray

from stillbit.deploy.inputs import Given
from stillbit.deploy.program import MULTIPLIES, Array, Program, Step
from stillbit.deploy.runtime import reference

ULPS = 8
"""How far from a boundary a tie may lie, in steps of float32 at the largest value that the tensor has there."""
EPSILON = float(np.finfo(np.float32).eps)

Heard = Mapping[str, list[Array]]
"""What an implementation had at each step, once for each time that it rounded."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What two implementations had at one step."""

    layer: str
    what: str
    """Codes, or sums of products of codes."""
    integers: int
    differ: int
    ties: int
    largest: int
    """By how much, of those that are no ties."""
    farthest: float
    """How far from the boundary the farthest that differs lies, in steps of the grid."""

    @property
    def wrong(self) -> int:
        """Those that nothing excuses."""
        return self.differ - self.ties


class Walk(NamedTuple):
    """The reference, on the codes of another: a difference a step, and the logits."""

    differences: list[Difference]
    logits: Float32[ndarray, "n classes"]


def heard(pairs: Iterable[tuple[str, Array]]) -> dict[str, list[Array]]:
    """By the step, in as few bytes as hold them."""
    found: dict[str, list[Array]] = {}
    for name, values in pairs:
        small = values if values.dtype.kind == "f" else values.astype(_kind(values), copy=False)
        found.setdefault(name, []).append(small)
    return found


def walk(program: Program, given: Given, theirs: Heard) -> Walk:
    """The reference on the codes of ``theirs``."""
    forced = {step.output: theirs[step.output][-1] for step in program.steps if _rounds(step) and step.output in theirs}
    found: list[Difference] = []
    logits: Any = None
    for step, inputs, own in reference.steps(program, given, forced):
        if step.output == program.output:
            logits = own
        if step.op in ("quantize", "gather", *MULTIPLIES):
            found += [_difference(step, inputs, own, codes) for codes in theirs.get(step.output, ())]
    return Walk(found, logits)


def _difference(step: Step, inputs: tuple[Array, ...], own: Array, codes: Array) -> Difference:
    if step.op in MULTIPLIES:
        own = reference.accumulator(step, *inputs)
    assert own.shape == codes.shape, f"{step.layer}: codes of shape {codes.shape} where the reference has {own.shape}"
    at = own != codes
    differ, ties, largest, farthest = int(at.sum()), 0, 0, 0.0
    if differ:
        mine, other = own[at].astype(np.int64), codes[at].astype(np.int64)
        apart = np.abs(mine - other)
        excused = np.zeros(differ, bool)
        if _rounds(step):
            rounded = reference.before(*inputs, **step.settings)
            beside = np.abs(rounded[at].astype(np.float64) - (mine + other) / 2)
            excused = (apart == 1) & (beside <= ULPS * EPSILON * max(float(np.abs(rounded).max()), 1.0))
            farthest = float(beside.max())
        ties, largest = int(excused.sum()), int(apart[~excused].max(initial=0))
    return Difference(
        layer=step.layer,
        what="sums" if step.op in MULTIPLIES else "codes",
        integers=own.size,
        differ=differ,
        ties=ties,
        largest=largest,
        farthest=farthest,
    )


def _rounds(step: Step) -> bool:
    return step.op == "quantize"


def _kind(values: Array) -> Any:
    """The smallest of int16, int32 and int64 that holds what is there."""
    reach = max(abs(int(values.min(initial=0))), abs(int(values.max(initial=0))))
    return next(kind for kind in (np.int16, np.int32, np.int64) if reach <= np.iinfo(kind).max)
