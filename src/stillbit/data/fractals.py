"""Images of fractals: a data set that is drawn, not downloaded.

A class is an iterated function system with a palette. An image is a neighbour of both, turned, sized and placed, on a
background of its own. Everything is a function of (seed, split, index, epoch), in bulk and one at a time alike.
"""

from __future__ import annotations

from typing import Literal, final

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from stillbit.data.chance import hashes, uniforms
from stillbit.data.settings import FractalSettings
from stillbit.data.systems import MOST, classes, orbit

_PLACE, _WALK, _GRAIN, _PALETTE = 5, 6, 7, 8  # what the random numbers are for: the first part of their key
_PAINT = 29
"""Random numbers that the colours of an image take."""
_STEPS = 32
_POINTS = 6
"""Points a pixel."""
_FINER = 2
"""Cells a pixel and side in which points are counted."""
_BULK = 16
"""Images drawn at once, so that what is at work stays in the cache of a core."""
_TURN = 0.4
"""Radians an image is turned by at most."""
_ZOOM = 0.65, 1.0
"""How much of the picture a shape fills."""
_SPREAD = 0.12
"""How far colours stray from those of the class; 0.5 would be anywhere on the wheel."""
_WAVE = np.cos(np.linspace(0, 2 * np.pi, 256, endpoint=False))


@final
class Fractals:
    """Draws the images of a data set."""

    def __init__(self, settings: FractalSettings) -> None:
        self.settings = settings
        self.systems = classes(settings.classes, settings.seed)
        self.palettes = uniforms(4, _PALETTE, settings.seed, np.arange(settings.classes))

    def label(self, index: int) -> int:
        """Classes take turns."""
        return index % self.settings.classes

    def draw(
        self, split: Literal["train", "val"], indices: Int[ndarray, n], epoch: int = 0
    ) -> UInt8[ndarray, "n 3 size size"]:
        """The images of these numbers; another epoch draws others of the same classes."""
        bulks = [indices[at : at + _BULK] for at in range(0, len(indices), _BULK)]
        return np.concatenate([self._bulk((self.settings.seed, split == "val", epoch), bulk) for bulk in bulks])

    def _bulk(self, key: tuple[int, ...], indices: Int[ndarray, n]) -> UInt8[ndarray, "n 3 size size"]:
        size, jitter = self.settings.size, self.settings.jitter
        chance = uniforms(4 + _PAINT + MOST * 6, _PLACE, *key, indices)
        place, paint, moves = np.split(chance, [4, 4 + _PAINT], axis=1)
        systems = self.systems.pick(indices % self.settings.classes).jittered(jitter, moves)
        walkers = -(-_POINTS * size * size // _STEPS // 8) * 8
        x, y, shade = orbit(systems, hashes(_STEPS * walkers // 8, _WALK, *key, indices), _STEPS)
        density, tint = _counted(_placed(x, y, place, size * _FINER), shade, size)
        grain = hashes(3 * size * size // 8 + 1, _GRAIN, *key, indices).view(np.uint8)[:, : 3 * size * size]
        paint[:, 23:27] = self.palettes[indices % self.settings.classes] + (paint[:, 23:27] * 2 - 1) * _SPREAD
        return _painted(density, tint, paint, grain.reshape(-1, 3, size, size))


def _placed(
    x: Float[ndarray, "steps n walkers"], y: Float[ndarray, "steps n walkers"], chance: Float[ndarray, "n 4"], side: int
) -> Int[ndarray, "steps n walkers"]:
    """The cell of each point: the shape is turned, sized, and put anywhere it fits."""
    angle = (chance[:, 0] * 2 - 1) * _TURN
    cos, sin = (part.astype(np.float32)[:, None] for part in (np.cos(angle), np.sin(angle)))
    axes = sin * x + cos * y, cos * x - sin * y
    low, high = (np.stack([bound(axis, (0, 2)) for axis in axes]) for bound in (np.min, np.max))
    zoom = ((_ZOOM[0] + (_ZOOM[1] - _ZOOM[0]) * chance[:, 1]) * side / (high - low).max(0)).astype(np.float32)
    begin = ((side - zoom * (high - low)) * chance[:, 2:].T - zoom * low).astype(np.float32)
    cells = np.arange(len(zoom))[:, None]
    for axis, start in zip(axes, begin, strict=True):
        cells = cells * side + np.clip((axis * zoom[:, None] + start[:, None]).astype(np.int64), 0, side - 1)
    return cells


def _counted(
    cells: Int[ndarray, "steps n walkers"], shade: Float[ndarray, "steps n walkers"], size: int
) -> tuple[Float[ndarray, "n size size"], Float[ndarray, "n size size"]]:
    """How densely points lie in each pixel, 0 to 1 on a scale of logarithms, and which maps led there."""
    count, side = cells.shape[1], size * _FINER
    hits = np.bincount(cells.ravel(), minlength=count * side * side)
    tint = np.bincount(cells.ravel(), shade.ravel(), minlength=count * side * side)
    logs = np.log1p(np.arange(hits.max() + 1))[hits]
    hits, tint, logs = (part.reshape(count, size, _FINER, size, _FINER) for part in (hits, tint, logs))
    density: ndarray = logs.mean((2, 4)) / logs.max((1, 2, 3, 4))[:, None, None]
    return density, tint.sum((2, 4)) / np.maximum(hits.sum((2, 4)), 1)


def _painted(
    density: Float[ndarray, "n size size"],
    tint: Float[ndarray, "n size size"],
    chance: Float[ndarray, "n paint"],
    grain: UInt8[ndarray, "n 3 size size"],
) -> UInt8[ndarray, "n 3 size size"]:
    """Colours by the maps that led to a pixel, over a background, with grain."""
    clouds, phase, rest = np.split(chance[..., None, None], [23, 26], axis=1)
    turns, cover, strength = np.split(rest, 3, axis=1)
    back = _background(clouds, density.shape[-1])
    # Cosines of the same tint, each colour with a phase of its own: neighbouring maps get related colours.
    front = 0.5 + 0.5 * _WAVE[((tint[:, None] * (0.3 + 0.7 * turns) + phase) % 1 * len(_WAVE)).astype(np.int64)]
    dark = back.mean((1, 2, 3), keepdims=True) < 0.5
    front = np.where(dark, 0.3 + 0.7 * front, 0.7 * front)
    covered = np.minimum(density[:, None] * (1.5 + cover), 1)
    image = back + (front - back) * covered + (grain / 255 - 0.5) * (0.04 + 0.16 * strength)
    painted: ndarray = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    return painted


def _background(chance: Float[ndarray, "n 23 1 1"], size: int) -> Float[ndarray, "n 3 size size"]:
    """Soft clouds between two colours, both dark or both light."""
    knots = chance[:, :16].reshape(-1, 4, 4)
    at = np.linspace(0, 3 - 1e-9, size)
    whole, part = at.astype(np.int64), at % 1
    ease = part * part * (3 - 2 * part)
    rows = knots[:, whole] + (knots[:, whole + 1] - knots[:, whole]) * ease[:, None]
    cloud = (rows[:, :, whole] + (rows[:, :, whole + 1] - rows[:, :, whole]) * ease)[:, None]
    first, second = np.split(chance[:, 16:22] * 0.45, 2, axis=1)
    dark = first + (second - first) * cloud
    background: ndarray = np.where(chance[:, 22:] < 0.65, dark, 1 - dark)
    return background
