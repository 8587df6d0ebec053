"""Attention whose query and key are one matrix a head."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import Attention

from stillbit import Plan, Spec, per_channel, per_head, per_tensor, per_token, quantize
from stillbit.layers.merged_attention import MergedAttention, _stacked
from stillbit.layers.product import inner
from stillbit.quantizers import Grid, Latent
from stillbit.surgery.qk_reparam import merge
from stillbit.surgery.timm_vit import MergedViTAttention
from tests.surgery import tiny


def merged() -> Any:
    torch.manual_seed(0)
    return merge(Attention(24, 3, qkv_bias=True).double(), MergedViTAttention)


@pytest.mark.parametrize("granularity", [per_tensor, per_head, per_token, per_channel], ids=str)
def test_heads_laid_one_below_the_other_keep_their_scales(granularity: Any) -> None:
    x = torch.randn(2, 3, 5, 8)
    scale = torch.rand(granularity.of_heads(3, 8, tokens=5)) + 0.1
    query = Latent(x, Grid(4), scale, scale * 0.5)
    stacked = _stacked(query)
    assert stacked.x.shape == (2, 15, 8)
    torch.testing.assert_close(stacked.value(), query.value().flatten(1, 2))
    assert torch.equal(stacked.code(), query.code().flatten(1, 2))


@pytest.mark.parametrize("rows", [1, 5])
def test_a_shift_for_every_channel_stays_one_row_a_head_unless_tokens_differ(rows: int) -> None:
    x = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    query = Latent(x, Grid(4), torch.rand(3, 1, 1).double() + 0.1, torch.randn(3, rows, 8).double())
    stacked, tokens = (
        _stacked(query),
        Latent(torch.randn(2, 6, 8, dtype=torch.float64), Grid(4), torch.ones(1).double()),
    )
    assert stacked.shift is not None and stacked.shift.shape == (3 * rows, 8)
    assert torch.equal(stacked.value(), query.value().flatten(1, 2))
    wanted = query.value().flatten(1, 2) @ tokens.value().mT
    torch.testing.assert_close(inner(stacked, tokens), wanted, rtol=1e-12, atol=1e-12)


def test_one_product_for_all_heads_is_a_product_for_each() -> None:
    layer, x = merged(), torch.randn(2, 5, 24, dtype=torch.float64)
    tokens = layer.tokens(x)
    query = layer.headed(layer.qk(x))
    wanted = torch.einsum("bhnc,bmc->bhnm", query, x) * layer.scale
    torch.testing.assert_close(layer.merged_logits(tokens), wanted, rtol=1e-12, atol=1e-12)


def test_heads_are_cut_out_of_the_last_axis() -> None:
    x = torch.randn(2, 5, 24)
    assert torch.equal(merged().headed(x)[1, 2, 3], x[1, 3, 16:24])


def test_released_it_stays_merged_and_computes_the_same() -> None:
    layer, x = merged(), torch.randn(2, 5, 24, dtype=torch.float64)
    released = layer.release()
    assert isinstance(released, MergedAttention) and released.float_class is Attention
    assert torch.equal(released(x), layer(x)) and not released.quantizers()


def test_query_key_and_value_see_the_same_codes() -> None:
    model: Any = quantize(tiny.vit(depth=1), Plan.uniform(4, 4, merge=True))
    layer, x = model.blocks[0].attn, torch.randn(2, 17, 48)
    tokens = layer.tokens(x)
    assert tokens.grid == Grid(4) and torch.equal(tokens.x, x)
    value = layer.v.weight_quantizer(layer.v.weight).value()
    found = layer.values(tokens).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, tokens.value() @ value.mT + layer.v.bias, rtol=1e-5, atol=1e-5)


def test_float_tokens_are_a_latent_without_grid() -> None:
    x = torch.randn(2, 5, 24, dtype=torch.float64)
    assert merged().tokens(x).grid is None
    model: Any = quantize(tiny.vit(depth=1), Plan.uniform(4, 32, merge=True))
    assert model.blocks[0].attn.tokens(torch.randn(1, 17, 48)).grid is None
    assert Spec(32).is_float
