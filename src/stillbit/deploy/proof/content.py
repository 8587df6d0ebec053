"""Whether two programs say the same, and where they do not first."""

from __future__ import annotations

import numpy as np

from stillbit.deploy.program import Constant, Program

CLOSE = 1e-6
"""How far a constant may be off, relative to itself: another machine sums scales in another order."""


def first_apart(held: Program, wanted: Program) -> str | None:
    """The first layer whose steps or constants are others, and what is; None where nothing is."""
    seen: set[str] = set()
    for ours, theirs in zip(held.steps, wanted.steps, strict=False):
        layer = theirs.layer or "the model itself"
        if ours != theirs:
            return f"{layer}: {ours.op} instead of {theirs.op}" if ours.op != theirs.op else f"{layer}: its {ours.op}"
        for name in theirs.inputs:
            if name in wanted.constants and name not in seen:
                seen.add(name)
                apart = _apart(held.constants[name], wanted.constants[name])
                if apart is not None:
                    return f"{layer}: {apart}"
    if len(held.steps) != len(wanted.steps):
        return f"its end: {len(held.steps):,} steps instead of {len(wanted.steps):,}"
    return None


def _apart(ours: Constant, theirs: Constant) -> str | None:
    if ours.grid != theirs.grid or ours.array.shape != theirs.array.shape:
        return "a constant of another kind"
    if theirs.grid is not None or theirs.array.dtype.kind in "iu":
        others = int((ours.array != theirs.array).sum())
        return f"{others:,} of {theirs.array.size:,} codes are others" if others else None
    far = np.abs(ours.array.astype(np.float64) - theirs.array)
    off = float((far / np.maximum(np.abs(theirs.array.astype(np.float64)), np.finfo(np.float32).tiny)).max(initial=0.0))
    return None if off <= CLOSE else f"a constant is off by {off:.1g} of itself"
