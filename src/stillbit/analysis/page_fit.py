"""What goes onto a page that is to stay small: of figures with a picture a layer some layers, the same for all runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from stillbit.analysis.plot.figure import Figure

BUDGETS = (3_800_000, 1_900_000, 900_000)
"""Bytes of pictures on a page, tried one after the other; tables, style and script are beside them."""
LARGE = 4_800_000
"""Bytes of a page above which the next budget is tried."""
ROWS = 300
"""Rows of tables of one title, over all runs of a page."""

Key = tuple[str, str]
"""The name of a run and a kind of analysis."""
Figures = Mapping[Key, tuple[Figure, ...]]


class Fitted(NamedTuple):
    """The figures that a page has room for, and the titles of those it has not."""

    figures: Figures
    left_out: tuple[str, ...]


def fitted(given: Figures, budget: int) -> Fitted:
    """The largest figures have fewer options, until all are within the budget; then spare ones are left out."""
    every = {one.name: 1 for figures in given.values() for one in figures}
    held = dict(given)
    while sum((size := _sizes(held)).values()) > budget:
        many = {one.name for figures in held.values() for one in figures if len(one.options) > 1}
        if not many:
            break
        every[max(many, key=lambda name: size[name])] *= 2
        held = {key: tuple(_thinned(one, every[one.name]) for one in figures) for key, figures in given.items()}
    return _spared(held, budget)


def rows_for(runs: int) -> int:
    """Rows of a table, so that a page of many runs stays small; some of each run are there."""
    return max(ROWS // max(runs, 1), 30)


def _spared(held: Figures, budget: int) -> Fitted:
    """Without spare figures, the largest first, as long as there are too many bytes."""
    size = _sizes(held)
    spare = {one.name: one.title for figures in held.values() for one in figures if one.spare}
    dropped: list[str] = []
    for name in sorted(spare, key=lambda name: -size[name]):
        if sum(size.values()) <= budget:
            break
        dropped.append(name)
        del size[name]
    kept = {key: tuple(one for one in figures if one.name not in dropped) for key, figures in held.items()}
    return Fitted(kept, tuple(spare[name] for name in dropped))


def _sizes(held: Figures) -> dict[str, int]:
    """Bytes by the name of a figure, over all runs."""
    found: dict[str, int] = {}
    for figures in held.values():
        for one in figures:
            found[one.name] = found.get(one.name, 0) + sum(len(option.svg) for option in one.options)
    return found


def _thinned(one: Figure, every: int) -> Figure:
    kept = one.options[::every]
    if len(kept) == len(one.options):
        return one
    said = (
        f"{one.caption} To keep the page small, {len(kept)} of {len(one.options)} pictures are here; a report of fewer "
        "runs has more."
    )
    return replace(one, options=kept, caption=said)
