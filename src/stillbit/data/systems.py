"""Iterated function systems: the classes of a data set of fractals.

A system is a few affine maps that contract the plane. The only bounded set that is the union of its own images under
the maps is its attractor, which is the shape that a class shows (Kataoka et al. 2020, "Pre-training without Natural
Images"). Maps are drawn by their singular values, with their sum in the range where attractors have neither shrunk to
dust nor grown to a blot (Anderson and Farrell 2022, "Improving Fractal Pre-training").
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt64
from numpy import ndarray

from stillbit.data.chance import hashes, uniforms

MOST = 5
"""Maps of the largest system; smaller ones leave the rest unused."""
_CLASS = 4  # what the random numbers are for: the first part of their key
_CANDIDATES = 24
_GRID = 24


class Systems(NamedTuple):
    """Systems in a row: how many maps, and of each map two turns, two singular values, the signs of axes, a shift."""

    maps: Int[ndarray, n]
    turns: Float[ndarray, "n maps 2"]
    stretch: Float[ndarray, "n maps 2"]
    signs: Float[ndarray, "n maps 2"]
    shift: Float[ndarray, "n maps 2"]

    def pick(self, rows: Int[ndarray, m]) -> Systems:
        """Some of them, in the order of ``rows``."""
        return Systems(*(part[rows] for part in self))

    def jittered(self, amount: float, chance: Float[ndarray, "n draws"]) -> Systems:
        """Neighbours of these systems: each number moves a little; contractions stay contractions."""
        turn, stretch, shift = (chance.reshape(len(chance), 3, MOST, 2) * 2 - 1).swapaxes(0, 1) * amount
        return self._replace(
            turns=self.turns + turn * np.pi / 2,
            stretch=np.minimum(self.stretch * (1 + stretch), 0.95),
            shift=self.shift + shift,
        )

    def matrices(self) -> Float[ndarray, "n maps 2 3"]:
        """Each map as a matrix and a shift: turn, stretch, turn and mirror."""
        (a, b), (p, q), (s, t) = (np.moveaxis(x, -1, 0) for x in (self.turns, self.stretch, self.signs))
        ca, sa, cb, sb = np.cos(a), np.sin(a), np.cos(b), np.sin(b)
        rows = [
            [(ca * p * cb - sa * q * sb) * s, (-ca * p * sb - sa * q * cb) * t, self.shift[..., 0]],
            [(sa * p * cb + ca * q * sb) * s, (-sa * p * sb + ca * q * cb) * t, self.shift[..., 1]],
        ]
        return np.stack([np.stack(row, -1) for row in rows], -2)


def classes(count: int, seed: int) -> Systems:
    """One system a class; class k is the same in a data set of any number of classes."""
    return Systems(*(np.concatenate(parts) for parts in zip(*(_one(seed, k) for k in range(count)), strict=True)))


def _one(seed: int, number: int) -> Systems:
    """The first good candidate of a class."""
    for attempt in range(100):
        drawn = _drawn(uniforms(2 + MOST * 8, _CLASS, seed, number, attempt, np.arange(_CANDIDATES)))
        good = np.flatnonzero(_contracts(drawn) & _shows(drawn))
        if len(good):
            return drawn.pick(good[:1])
    raise AssertionError("a good system is found in a handful of rounds")


def _drawn(chance: Float[ndarray, "n draws"]) -> Systems:
    maps = 2 + (chance[:, 0] * (MOST - 1)).astype(np.int64)
    turns, stretch, signs, shift = chance[:, 2:].reshape(len(chance), 4, MOST, 2).swapaxes(0, 1)
    stretch = np.sort(0.2 + 0.7 * stretch, -1)[..., ::-1]
    used = np.arange(MOST) < maps[:, None]
    total = ((stretch[..., 0] + 2 * stretch[..., 1]) * used).sum(-1)
    wanted = (5 + maps + chance[:, 1]) / 2
    stretch = stretch * (wanted / total)[:, None, None]
    return Systems(maps, turns * 2 * np.pi, stretch, np.where(signs < 0.5, -1.0, 1.0), shift * 2 - 1)


def _contracts(drawn: Systems) -> ndarray:
    used = np.arange(MOST) < drawn.maps[:, None]
    allowed: ndarray = np.where(used, drawn.stretch[..., 0], 0).max(-1) < 0.9
    return allowed


def _shows(drawn: Systems) -> ndarray:
    """A shape that fills a good part of a picture, is no line, and is not a uniform blot."""
    x, y, _ = orbit(drawn, hashes(32 * 64 // 8, _CLASS, np.arange(len(drawn.maps))), 32)
    cells = np.arange(len(drawn.maps))[:, None]
    for axis in (x, y):
        low, high = axis.min((0, 2))[:, None], axis.max((0, 2))[:, None]
        cells = cells * _GRID + ((axis - low) * ((_GRID - 1e-3) / (high - low))).astype(np.int64)
    hits = np.bincount(cells.ravel(), minlength=len(drawn.maps) * _GRID**2).reshape(len(drawn.maps), -1)
    filled = (hits > 0).mean(-1)
    heaviest = np.sort(hits, -1)[:, -_GRID:].sum(-1) / hits.sum(-1)
    good: ndarray = (filled > 0.15) & (filled < 0.6) & (heaviest < 0.4)
    return good


def orbit(
    systems: Systems, words: UInt64[ndarray, "n words"], steps: int
) -> tuple[Float[ndarray, "steps n walkers"], Float[ndarray, "steps n walkers"], Float[ndarray, "steps n walkers"]]:
    """Points of the attractors, and which maps led there: the chaos game with many walkers at once.

    Walkers begin at fixed points of the maps, which are on the attractor, so every step counts. A byte of ``words``
    chooses a map, in proportion to how much area it keeps.
    """
    count = len(systems.maps)
    chosen = words.view(np.uint8).reshape(count, steps, -1).swapaxes(0, 1)
    matrices = systems.matrices()
    table = np.ascontiguousarray(np.moveaxis(matrices, 1, -1).reshape(count, 6, MOST).swapaxes(0, 1))
    byte_to_map = _byte_to_map(systems, matrices) + np.arange(count)[:, None] * MOST
    a, b, e, c, d, f = (part.ravel().astype(np.float32)[byte_to_map].ravel() for part in table)
    tint = (np.arange(MOST) / (systems.maps[:, None] - 1)).astype(np.float32).ravel()[byte_to_map].ravel()
    walkers = chosen.shape[-1]
    x, y = _fixed_points(matrices, systems.maps, walkers)
    shade = np.full((count, walkers), 0.5, np.float32)
    xs, ys, shades = (np.empty((steps, count, walkers), np.float32) for _ in range(3))
    rows = np.arange(count)[:, None] * 256
    for step in range(steps):
        at = chosen[step] + rows
        x, y = a[at] * x + b[at] * y + e[at], c[at] * x + d[at] * y + f[at]
        shade = (shade + tint[at]) * np.float32(0.5)
        xs[step], ys[step], shades[step] = x, y, shade
    return xs, ys, shades


def _byte_to_map(systems: Systems, matrices: Float[ndarray, "n maps 2 3"]) -> Int[ndarray, "n 256"]:
    """Which map each of 256 bytes chooses; even the smallest map gets a few."""
    area = np.abs(matrices[..., 0, 0] * matrices[..., 1, 1] - matrices[..., 0, 1] * matrices[..., 1, 0])
    weight = np.where(np.arange(MOST) < systems.maps[:, None], np.maximum(area, 0.02), 0)
    upper = np.cumsum(weight, -1)
    upper = upper / upper[:, -1:] * 256
    found: ndarray = (np.arange(256)[None, :, None] >= upper[:, None, :-1]).sum(-1)
    chosen: ndarray = np.minimum(found, systems.maps[:, None] - 1)
    return chosen


def _fixed_points(
    matrices: Float[ndarray, "n maps 2 3"], maps: Int[ndarray, n], walkers: int
) -> tuple[Float[ndarray, "n walkers"], Float[ndarray, "n walkers"]]:
    """Where each walker begins: x = A x + s, for the maps in turn."""
    begin = np.arange(walkers) % maps[:, None]
    m = np.take_along_axis(matrices.reshape(len(maps), MOST, 6), begin[..., None], 1)
    a, b, e, c, d, f = np.moveaxis(m, -1, 0)
    inverse = 1 / ((1 - a) * (1 - d) - b * c)
    x, y = ((1 - d) * e + b * f) * inverse, (c * e + (1 - a) * f) * inverse
    return x.astype(np.float32), y.astype(np.float32)
