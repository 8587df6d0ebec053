"""SDAM, the standard deviation of the absolute mean: how differently loud the parts of a model are.

    SDAM = sqrt(mean over parts (m - mean m)^2),  m = mean |w| of a part

VVTQ (arXiv 2307.00331, Table 2) prints it for whole models and says neither what a part is nor what it is divided by.
So both are stated here: what the parts are (`Over`), and the ``relative`` form, in which every m is divided by the mean
of those it is compared with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Literal, NamedTuple

Over = Literal["modules", "layers", "roles", "heads", "channels"]
"""What is compared.

modules: every head of query, key, value and projection, and every other layer; layers: whole layers; roles: all that
does the same thing, such as all keys of a model; heads: the heads of one role in one layer; channels: the outputs of
one layer. Heads and channels have a deviation a layer, and the mean of these is theirs.
"""


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """The SDAM over one kind of parts."""

    over: Over
    parts: int
    """How many were compared."""
    sets: int
    """In how many sets of their own; ``deviation`` and ``relative`` are the means over the sets."""
    mean: float
    """Of the absolute means."""
    deviation: float
    """The SDAM, in the unit of the numbers."""
    relative: float
    """The SDAM after every absolute mean was divided by the mean of its set."""


class Loudness(NamedTuple):
    """The absolute mean of one part, and over how many numbers it was taken."""

    layer: str
    role: str
    head: int | None
    mean: float
    numbers: int


def deviation(means: Iterable[float]) -> float:
    """The standard deviation, of all that there is and not of a sample: one part deviates by zero."""
    held = tuple(means)
    centre = fsum(held) / len(held)
    return sqrt(fsum((m - centre) ** 2 for m in held) / len(held))


def over(kind: Over, sets: Iterable[tuple[float, ...]]) -> Deviation | None:
    """The SDAM of sets of absolute means; a set of one says nothing, and None is the answer where no other is left."""
    held = [means for means in sets if len(means) > 1]
    if not held:
        return None
    every = [m for means in held for m in means]
    each = [(deviation(means), fsum(means) / len(means)) for means in held]
    return Deviation(
        over=kind,
        parts=len(every),
        sets=len(held),
        mean=fsum(every) / len(every),
        deviation=fsum(d for d, _ in each) / len(each),
        relative=fsum(d / m if m else 0.0 for d, m in each) / len(each),
    )


def sdam(found: Iterable[Loudness]) -> tuple[Deviation, ...]:
    """Over modules, layers, roles and heads, as far as there are two of them."""
    parts = tuple(found)
    layers, roles = _together(parts, "layer"), _together(parts, "role")
    heads: dict[tuple[str, str], list[float]] = {}
    for part in parts:
        if part.head is not None:
            heads.setdefault((part.layer, part.role), []).append(part.mean)
    said = (
        over("modules", [tuple(part.mean for part in parts)]),
        over("layers", [layers]),
        over("roles", [roles]),
        over("heads", map(tuple, heads.values())),
    )
    return tuple(one for one in said if one is not None)


def _together(parts: Iterable[Loudness], by: Literal["layer", "role"]) -> tuple[float, ...]:
    """The absolute mean over all numbers of a layer, or of a role."""
    groups: dict[str, list[Loudness]] = {}
    for part in parts:
        groups.setdefault(getattr(part, by), []).append(part)
    return tuple(fsum(p.mean * p.numbers for p in g) / sum(p.numbers for p in g) for g in groups.values())
