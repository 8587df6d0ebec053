"""Rows of attention beside their definitions, written as loops."""

from __future__ import annotations

import math

import pytest
import torch

from stillbit.analysis.rows import entropy, silent, spearman


def ranks(numbers: list[float]) -> list[float]:
    return [sum(o < n for o in numbers) + (sum(o == n for o in numbers) - 1) / 2 for n in numbers]


def by_loop(one: list[float], other: list[float]) -> float:
    a, b = ranks(one), ranks(other)
    mean = (len(a) - 1) / 2
    together = sum((x - mean) * (y - mean) for x, y in zip(a, b, strict=True))
    return together / math.sqrt(sum((x - mean) ** 2 for x in a) * sum((y - mean) ** 2 for y in b))


def test_the_rank_correlation_is_that_of_a_loop_with_equal_numbers_too() -> None:
    one, other = torch.rand(4, 3, 9), torch.randint(4, (4, 3, 9)).double()
    found = spearman(one, other)
    for i in range(4):
        for j in range(3):
            assert found[i, j].item() == pytest.approx(by_loop(one[i, j].tolist(), other[i, j].tolist()), abs=1e-12)


def test_order_is_all_that_counts() -> None:
    row = torch.rand(1, 20)
    assert spearman(row, row.exp() * 7).item() == pytest.approx(1, abs=1e-12)
    assert spearman(row, -row).item() == pytest.approx(-1, abs=1e-12)


def test_a_row_of_equal_numbers_has_no_order() -> None:
    row = torch.rand(1, 5)
    assert spearman(row, torch.zeros(1, 5)).item() == 0 and spearman(torch.ones(1, 5), row).item() == 0


def test_a_view_is_ranked_like_its_copy() -> None:
    one, other = torch.rand(6, 8), torch.rand(6, 8)
    assert torch.equal(spearman(one.T, other.T), spearman(one.T.clone(), other.T.clone()))


def test_looking_at_all_keys_alike_has_the_most_entropy() -> None:
    rows = torch.stack([torch.full((8,), 1 / 8), torch.eye(8)[3], torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0, 0])])
    assert entropy(rows).tolist() == pytest.approx([math.log(8), 0.0, math.log(2)])


def test_a_row_that_does_not_sum_to_1_is_brought_there() -> None:
    assert entropy(torch.tensor([[3.0, 1.0]])).item() == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))


def test_a_silent_row_is_seen_and_has_no_entropy() -> None:
    rows = torch.tensor([[0.0, 0.0], [0.0, 1.0]])
    assert silent(rows).tolist() == [True, False] and entropy(rows).tolist() == [0.0, 0.0]
