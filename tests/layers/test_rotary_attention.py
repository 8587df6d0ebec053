"""Attention with rotary positions, and with a position bias of BEiT's."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers import AttentionRope
from timm.models.beit import Attention as BeitAttention
from torch import Tensor

from stillbit.quantizers import LSQ, Grid
from stillbit.surgery.timm_eva import QuantBeitAttention, QuantRopeAttention


def rotary(**options: Any) -> Any:
    torch.manual_seed(0)
    return QuantRopeAttention.adopt(AttentionRope(24, 3, **options)).double()


def quarter_turn(tokens: int) -> Tensor:
    """Sine one, cosine zero: (a, b) becomes (-b, a)."""
    return torch.cat([torch.ones(tokens, 8), torch.zeros(tokens, 8)], -1).double()


def test_patches_are_turned_and_prefix_tokens_are_not() -> None:
    layer, x = rotary(num_prefix_tokens=2), torch.randn(1, 3, 6, 8, dtype=torch.float64)
    turned = layer.turned(x, quarter_turn(4), x)
    assert torch.equal(turned[:, :, :2], x[:, :, :2])
    torch.testing.assert_close(turned[:, :, 2:, 0::2], -x[:, :, 2:, 1::2])
    torch.testing.assert_close(turned[:, :, 2:, 1::2], x[:, :, 2:, 0::2])


def test_the_halves_of_a_head_may_be_turned_against_each_other() -> None:
    layer, x = rotary(num_prefix_tokens=0, rotate_half=True), torch.randn(1, 3, 4, 8, dtype=torch.float64)
    turned = layer.turned(x, quarter_turn(4), x)
    torch.testing.assert_close(turned, torch.cat([-x[..., 4:], x[..., :4]], -1))


def test_without_positions_nothing_turns() -> None:
    x = torch.randn(1, 3, 4, 8)
    assert rotary().turned(x, None, x) is x


def test_what_is_turned_has_the_type_of_the_value() -> None:
    x = torch.randn(1, 3, 5, 8)
    assert rotary().turned(x, quarter_turn(4), x.bfloat16()).dtype == torch.bfloat16


def test_three_projections_are_one_fused_one_cut_apart() -> None:
    apart, x = rotary(qkv_fused=False), torch.randn(2, 5, 24, dtype=torch.float64)
    fused = rotary()
    with torch.no_grad():
        for name in ("weight", "bias"):
            parts = [getattr(getattr(apart, f"{p}_proj"), name) for p in "qkv"]
            getattr(fused.qkv, name).copy_(torch.cat(parts))
    for a, b in zip(apart.projected(x), fused.projected(x), strict=True):
        torch.testing.assert_close(a, b)


def test_shared_keys_serve_neighbouring_queries() -> None:
    layer, x = rotary(qkv_fused=False, num_kv_heads=1), torch.randn(2, 5, 24, dtype=torch.float64)
    q, k, v = layer.projected(x)
    assert q.shape == (2, 3, 5, 8) and k.shape == v.shape == (2, 1, 5, 8)
    exact = layer(x)
    layer.key_quantizer = LSQ(Grid(8), (1,)).double()
    with torch.no_grad():
        layer.key_quantizer.scale.fill_(3 / 127)
    assert not layer.is_float() and (layer(x) - exact).abs().max() <= 0.02


def test_a_position_bias_shared_by_all_blocks_is_added() -> None:
    torch.manual_seed(0)
    original = BeitAttention(24, 3, qkv_bias=True).double()
    layer: Any = QuantBeitAttention.adopt(original, value_quantizer=LSQ(Grid(8), (1,)).double())
    with torch.no_grad():
        layer.value_quantizer.scale.fill_(3 / 127)
    x, bias = torch.randn(2, 5, 24, dtype=torch.float64), torch.randn(1, 3, 5, 5, dtype=torch.float64) * 3
    exact = original(x, shared_rel_pos_bias=bias)
    assert (layer(x, shared_rel_pos_bias=bias) - exact).abs().max() <= 0.02
    assert (layer(x) - exact).abs().max() > 0.05
