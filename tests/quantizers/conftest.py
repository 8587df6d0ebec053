"""Squared error and code probabilities of a grid on standard normal numbers, in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stillbit.quantizers import Grid


class Normal:
    """What a grid does to standard normal numbers."""

    mean_magnitude = math.sqrt(2 / math.pi)

    @staticmethod
    def cells(scale: float, grid: Grid) -> tuple[Tensor, Tensor, Tensor]:
        """Value, lower and upper threshold of every code."""
        level = torch.arange(grid.low, grid.high + 1, dtype=torch.float64) + grid.offset
        between = (level[:-1] + 0.5) * scale
        end = torch.tensor([math.inf], dtype=torch.float64)
        return level * scale, torch.cat([-end, between]), torch.cat([between, end])

    def probabilities(self, scale: float, grid: Grid) -> Tensor:
        _, a, b = self.cells(scale, grid)
        return torch.special.ndtr(b) - torch.special.ndtr(a)

    def error(self, scale: float, grid: Grid) -> float:
        """E (x - value)^2: in each cell, the integrals of x^2, x and 1 against the density."""
        value, a, b = self.cells(scale, grid)
        at_a, at_b = ((-t * t / 2).exp() / math.sqrt(2 * math.pi) for t in (a, b))
        mass = self.probabilities(scale, grid)
        first = at_a - at_b
        second = mass - (b.nan_to_num(0, 0, 0) * at_b - a.nan_to_num(0, 0, 0) * at_a)
        return (second - 2 * value * first + value.square() * mass).sum().item()

    @staticmethod
    def least(function: Callable[[float], float], low: float, high: float) -> float:
        """Where ``function`` is smallest: a scan, then ever finer scans around its best."""
        for _ in range(5):
            points = torch.linspace(low, high, 41, dtype=torch.float64).tolist()
            best = min(range(41), key=lambda i: function(points[i]))
            low, high = points[max(best - 1, 0)], points[min(best + 1, 40)]
        return (low + high) / 2


@pytest.fixture(scope="session")
def normal() -> Normal:
    return Normal()
