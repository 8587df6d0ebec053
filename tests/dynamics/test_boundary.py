from __future__ import annotations

import pytest
import torch

from stillbit.dynamics.boundary import distances, histogram, positions
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent
from tests.dynamics import small


def latent(steps: list[float], grid: Grid, scale: float = 0.25) -> Latent:
    return Latent(torch.tensor(steps, dtype=torch.float64) * scale, grid, torch.tensor([scale], dtype=torch.float64))


def test_distances_are_to_the_nearest_boundary_also_beyond_the_range() -> None:
    found = distances(latent([-3.0, -2.0, -1.5, -1.4, 0.0, 0.45, 0.55, 1.0, 2.0], Grid(2)))
    torch.testing.assert_close(found, torch.tensor([1.5, 0.5, 0, 0.1, 0.5, 0.05, 0.05, 0.5, 1.5]).double())


def test_on_a_mid_rise_grid_boundaries_are_whole_steps() -> None:
    grid = Grid(2, offset=0.5)
    found = distances(latent([-1.0, -0.9, 0.0, 0.5, 0.8, 1.0, 1.7], grid))
    torch.testing.assert_close(found, torch.tensor([0, 0.1, 0, 0.5, 0.2, 0, 0.7]).double())


@pytest.mark.parametrize("method", ["lsq", "statsq", "dorefa", "minmax"])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_distances_are_those_of_a_search_over_all_boundaries(method: str, bits: int) -> None:
    weight = torch.randn(6, 8, dtype=torch.float64)
    ready = small.quantizer(method, bits, (6, 1), weight)(weight)
    assert ready.grid is not None
    edges = torch.arange(ready.grid.low, ready.grid.high).double() + 0.5
    wanted = (positions(ready)[..., None] - edges).abs().amin(-1)
    torch.testing.assert_close(distances(ready), wanted)
    away = (positions(ready) - ready.code()).abs()
    inner = (ready.code() > ready.grid.low) & (ready.code() < ready.grid.high)
    torch.testing.assert_close(distances(ready)[inner], 0.5 - away[inner])


def test_a_step_over_a_boundary_changes_the_code_and_a_shorter_one_does_not() -> None:
    weight = torch.randn(500, dtype=torch.float64)
    scale = torch.tensor([0.3], dtype=torch.float64)
    ready = Latent(weight, Grid(3), scale)
    away, codes = distances(ready), ready.code()
    for share, changes in ((0.99, False), (1.01, True)):
        moved = [Latent(weight + sign * share * away * scale, Grid(3), scale).code() for sign in (1, -1)]
        assert bool(((moved[0] != codes) | (moved[1] != codes)).all()) == changes
        assert changes or (torch.equal(moved[0], codes) and torch.equal(moved[1], codes))


def test_a_histogram_counts_every_weight_once_and_the_far_ones_in_the_last_bin() -> None:
    counts = histogram(latent([0.0, 0.02, 0.49, 0.51, 9.0, 1.26, 0.77], Grid(2)), 10)
    assert counts.tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 4]
