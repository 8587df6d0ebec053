"""Start values: the scale (and shift) a quantizer begins with, found from data.

``mse`` searches for the scale of least squared error; the others are the rules of thumb of the literature.
All work on one row a block (see `granularity.gather`), so one code serves every granularity.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import sqrt
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.linalg import vecdot

from stillbit.quantizers.granularity import Blocks, gather
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import to_level

SEARCHED, POLISHED = 2**20, 2**22
"""Elements that the coarse search and the polishing look at, over all blocks; a block of 2048 is never thinned."""
POLISHING_STEPS = 20
SMALL = 2**14
"""A tensor of so many elements is searched without thrift."""
TOLERANCE = 1e-5
"""Relative change of the scale at which the alternation stops, as in the authors' code."""
_NEAR = [0.9 + 0.01 * i for i in range(21)]
"""Around the best range of the coarse search, whose steps are 10 % wide."""
_TINY = 1e-30


class Start(NamedTuple):
    """A scale a block, and a shift a block where the quantizer has one."""

    scale: Tensor
    shift: Tensor | None = None


Rule = Callable[[Tensor, Grid, Blocks, bool], Start]


def mse(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks, shifted: bool = False) -> Start:
    """The scale (and shift) of least squared error: a coarse and a fine search, then the alternation from the best."""
    rows = _numbers(x, blocks)
    wanted, grid = grid, _from_shift(grid) if shifted else grid
    few, many = _thinned(rows, SEARCHED, 256), _thinned(rows, POLISHED, 2048)
    low = rows.amin(1, keepdim=True)
    top = _top(grid)
    best = None
    for scale, shift in _ranges(rows, grid, shifted):
        best = _better(few, grid, best, scale, shift)
    full = (rows.amax(1, keepdim=True) - low) if shifted else rows.abs().amax(1, keepdim=True)
    plain = (full.clamp_min(_TINY) / top, low if shifted else None)
    best = _better(few, grid, best, *plain)
    for rule in (mean_magnitude, percentile):  # never worse than the rules of thumb
        found = rule(x, grid, blocks, shifted)
        column = None if found.shift is None else found.shift.reshape(-1, 1)
        best = _better(few, grid, best, found.scale.reshape(-1, 1).clamp_min(_TINY), column)
    coarse, shift = best[1], best[2]
    for factor in _NEAR:
        best = _better(few, grid, best, coarse * factor, shift)
    # A small tensor is also polished from the full range, where the authors' code begins: never worse than theirs.
    small = many.numel() <= SMALL
    chosen = None
    for begin in ((best[1], best[2]), plain) if small else ((best[1], best[2]),):
        chosen = _better(many, grid, chosen, *begin)
        chosen = _better(many, grid, chosen, *alternate(many, grid, *begin, steps=1000 if small else POLISHING_STEPS))
    assert chosen is not None, "there is always a beginning"
    return _shaped(chosen[1], chosen[2], wanted, blocks)


def alternate(
    rows: Float[Tensor, "blocks elements"],
    grid: Grid,
    scale: Float[Tensor, "blocks 1"],
    shift: Float[Tensor, "blocks 1"] | None = None,
    steps: int = 1000,
) -> tuple[Tensor, Tensor | None]:
    """Codes from the scale, then the scale from the codes by least squares, until the scale rests.

    With a shift, both are updated from the same codes, the scale against the shift before the update.
    """
    for _ in range(steps):
        centred = rows if shift is None else rows - shift
        level = to_level(centred, scale, grid)
        power = vecdot(level, level).unsqueeze(1)
        new = torch.where(power > 0, vecdot(centred, level).unsqueeze(1) / power.clamp_min(_TINY), scale)
        new = torch.where(new > 0, new, scale)
        if shift is not None:
            shift = (rows - scale * level).mean(1, keepdim=True)
        rest = ((new - scale).abs() <= TOLERANCE * new.abs()).all()
        scale = new
        if rest:
            break
    return scale, shift


def mean_magnitude(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks, shifted: bool = False) -> Start:
    """LSQ's rule: 2 mean|x| / sqrt(Qp), with the Qp of the grid that is really used."""
    rows = _numbers(x, blocks)
    shift = rows.amin(1, keepdim=True) if shifted else None
    centred = rows if shift is None else rows - shift
    high = max(_from_shift(grid).high if shifted else grid.high, 1)
    return _shaped(2 * centred.abs().mean(1, keepdim=True) / sqrt(high), shift, grid, blocks)


def percentile(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks, shifted: bool = False) -> Start:
    """The range that holds 99.9 % of the elements."""
    rows = _thinned(_numbers(x, blocks), POLISHED, 2048)
    shift = rows.quantile(0.0005, dim=1, keepdim=True) if shifted else None
    reach = rows.abs().quantile(0.999, dim=1, keepdim=True)
    if shift is not None:
        reach = rows.quantile(0.9995, dim=1, keepdim=True) - shift
    return _shaped(reach / _top(_from_shift(grid) if shifted else grid), shift, grid, blocks)


def minmax(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks, shifted: bool = False) -> Start:
    """The range that holds every element."""
    rows = _numbers(x, blocks)
    shift = rows.amin(1, keepdim=True) if shifted else None
    reach = rows.abs().amax(1, keepdim=True) if shift is None else rows.amax(1, keepdim=True) - shift
    return _shaped(reach / _top(_from_shift(grid) if shifted else grid), shift, grid, blocks)


def three_sigma(x: Float[Tensor, "*shape"], grid: Grid, blocks: Blocks, shifted: bool = False) -> Start:
    """LSQ+'s rule for weights: max(|mean - 3 std|, |mean + 3 std|) / 2^(bits - 1)."""
    if shifted or not grid.signed:
        raise ValueError("three_sigma is a rule for weights, which are signed and have no shift: use mse here")
    rows = _numbers(x, blocks)
    reach = rows.mean(1, keepdim=True).abs() + 3 * rows.std(1, correction=0, keepdim=True)
    return _shaped(reach / 2 ** (grid.bits - 1), None, grid, blocks)


RULES: dict[str, Rule] = {
    "mse": mse,
    "mean_magnitude": mean_magnitude,
    "percentile": percentile,
    "minmax": minmax,
    "three_sigma": three_sigma,
}


@lru_cache(maxsize=64)
def standard(grid: Grid, shifted: bool = False) -> Start:
    """The start before any data: for standard normal numbers, their size if unsigned, their GELU if shifted."""
    with torch.device("cpu"), torch.no_grad():
        normal = torch.special.ndtri(torch.linspace(0.0005, 0.9995, 4001, dtype=torch.float64))
        sample = torch.nn.functional.gelu(normal) if shifted else normal if grid.signed else normal.abs()
        return mse(sample, grid, (1,), shifted)


def _numbers(x: Tensor, blocks: Blocks) -> Tensor:
    if x.numel() == 0:
        raise ValueError("start values need data, got an empty tensor: calibrate with at least one batch")
    if not x.isfinite().all():
        raise ValueError("start values need finite numbers, got NaN or infinity: check the weights and the inputs")
    rows = gather(x.detach(), blocks)
    return rows if rows.dtype == torch.float64 else rows.float()


def thin(rows: Float[Tensor, "blocks elements"], most: int, *, extremes: bool = False) -> Float[Tensor, "blocks fewer"]:
    """At most ``most`` elements of every row, drawn the same way each time.

    ``extremes`` adds the smallest and the largest. They are not always there: one element in ten million would count
    like one in ten thousand, and a single outlier would decide a scale of least squared error.
    """
    if rows.size(1) <= most:
        return rows
    draw = torch.Generator().manual_seed(0)
    few = rows[:, torch.randint(rows.size(1), (most,), generator=draw, device="cpu").to(rows.device)]
    return torch.cat([few, rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)], 1) if extremes else few


def _thinned(rows: Tensor, budget: int, least: int) -> Tensor:
    return thin(rows, max(min(budget // rows.size(0), 65536), least))


def _top(grid: Grid) -> float:
    return grid.high + grid.offset


def _from_shift(grid: Grid) -> Grid:
    """With a free shift all grids of a width hold the same values; this one begins at its shift."""
    return Grid(grid.bits, signed=False)


def _ranges(rows: Tensor, grid: Grid, shifted: bool) -> list[tuple[Tensor, Tensor | None]]:
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    steps = max(grid.levels - 1, 1)
    if shifted:
        bottoms = [low + (high - low) * f for f in (0.0, 0.01, 0.03, 0.1, 0.25, 0.5)]
        return [(((high - b) * f).clamp_min(_TINY) / steps, b) for b in bottoms for f in _fractions(24)]
    reach = rows.abs().amax(1, keepdim=True).clamp_min(_TINY)
    return [(reach * f / _top(grid), None) for f in _fractions(48)]


def _fractions(count: int) -> list[float]:
    """From the full range down to a fiftieth of it, evenly in the logarithm, and twice the range above (few levels)."""
    return [2.0 * 100.0 ** (-i / (count - 1)) for i in range(count)]


Candidate = tuple[Tensor, Tensor, Tensor | None]


def _better(rows: Tensor, grid: Grid, best: Candidate | None, scale: Tensor, shift: Tensor | None) -> Candidate:
    """Row by row, whichever of ``best`` and the new start has the smaller squared error on ``rows``."""
    centred = rows if shift is None else rows - shift
    error = (to_level(centred, scale, grid).mul_(scale).sub_(centred)).square_().mean(1, keepdim=True)
    if best is None:
        return error, scale, shift
    wins = error < best[0]
    moved = None if shift is None or best[2] is None else torch.where(wins, shift, best[2])
    return torch.where(wins, error, best[0]), torch.where(wins, scale, best[1]), moved


def _shaped(scale: Tensor, shift: Tensor | None, grid: Grid, blocks: Blocks) -> Start:
    """In the shape of the blocks; a shift, found for the grid that begins there, is moved to where code 0 is."""
    if shift is None:
        return Start(scale.reshape(blocks))
    return Start(scale.reshape(blocks), (shift - scale * (grid.low + grid.offset)).reshape(blocks))
