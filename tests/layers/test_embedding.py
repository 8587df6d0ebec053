"""A table of quantized rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from stillbit.layers.embedding import QuantEmbedding
from stillbit.quantizers import LSQ, Grid, StatsQ

WORDS = torch.tensor([[0, 3, 3], [5, 6, 1]])


def layer(blocks: tuple[int, int] = (7, 1), **options: Any) -> Any:
    torch.manual_seed(0)
    return QuantEmbedding.adopt(nn.Embedding(7, 8, **options), weight_quantizer=LSQ(Grid(3), blocks))


@pytest.mark.parametrize("blocks", [(1, 1), (7, 1), (7, 4), (1, 2)])
def test_rows_are_those_of_the_quantized_table_with_their_gradients(blocks: tuple[int, int]) -> None:
    of = layer(blocks).double()
    upstream = torch.randn(2, 3, 8, dtype=torch.float64)
    table = of.weight_quantizer(of.weight).value()
    wanted = torch.autograd.grad(table[WORDS], [of.weight, of.weight_quantizer.scale], upstream)
    rows = of(WORDS)
    assert torch.equal(rows, table[WORDS])
    found = torch.autograd.grad(rows, [of.weight, of.weight_quantizer.scale], upstream)
    for f, w in zip(found, wanted, strict=True):
        torch.testing.assert_close(f, w, rtol=1e-12, atol=1e-12)


def test_a_row_that_is_not_asked_for_gets_no_gradient() -> None:
    of = layer()
    of(WORDS).square().sum().backward()
    used = torch.zeros(7, dtype=torch.bool)
    used[WORDS.flatten()] = True
    assert (of.weight.grad[~used] == 0).all() and (of.weight_quantizer.scale.grad[~used] == 0).all()
    assert (of.weight.grad[used] != 0).any(1).all()


def test_the_padding_row_is_not_trained() -> None:
    of = layer(padding_idx=3)
    of(WORDS).square().sum().backward()
    assert (of.weight.grad[3] == 0).all() and (of.weight.grad[5] != 0).any()


def test_gradients_by_frequency_and_sparse_gradients_are_those_of_the_float_layer() -> None:
    plain, often = layer(), layer(scale_grad_by_freq=True)
    for of in (plain, often):
        of(WORDS).sum().backward()
    torch.testing.assert_close(often.weight.grad[3], plain.weight.grad[3] / 2)
    few = layer(sparse=True)
    few(WORDS).sum().backward()
    assert few.weight.grad.is_sparse
    torch.testing.assert_close(few.weight.grad.to_dense(), plain.weight.grad)


def test_a_statistic_is_that_of_the_whole_table() -> None:
    of: Any = QuantEmbedding.adopt(nn.Embedding(7, 8), weight_quantizer=StatsQ(Grid(2, True, 0.5), (1, 1)))
    assert torch.equal(of(WORDS), of.weight_quantizer(of.weight).value()[WORDS])


def test_without_quantizer_it_is_the_float_layer() -> None:
    original = nn.Embedding(7, 8, padding_idx=0, max_norm=1.0)
    assert torch.equal(QuantEmbedding.adopt(original)(WORDS), original(WORDS))
