"""Attention's own parts: masks as terms, heads, and which path is taken."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import Attention
from torch import Tensor

from stillbit.layers.attention import additive, joined_bias
from stillbit.quantizers import LSQ, Grid
from stillbit.surgery.timm_vit import QuantViTAttention

LOGITS = torch.zeros(2, 3, 4, 5)
ROLES = ("query", "key", "value", "probability")


def attention(*roles: str, **options: Any) -> Any:
    torch.manual_seed(0)
    grids = {role: LSQ(Grid(8, signed=role != "probability"), (1,)) for role in roles}
    original = Attention(24, 3, qkv_bias=True, **options)
    return QuantViTAttention.adopt(original, **{f"{role}_quantizer": q for role, q in grids.items()}).double()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_boolean_mask_hides_what_is_false(dtype: torch.dtype) -> None:
    mask = torch.tensor([True, False, True, True, False])
    term = additive(mask, False, LOGITS.to(dtype))
    assert term is not None and term.dtype == dtype
    assert torch.equal(term == 0, mask) and torch.equal(term == float("-inf"), ~mask)


def test_a_mask_of_terms_is_taken_as_it_is() -> None:
    terms = torch.randn(4, 5)
    assert additive(terms, False, LOGITS) is terms
    assert additive(None, False, LOGITS) is None


def test_a_causal_mask_hides_the_future_and_wins_over_another() -> None:
    term = additive(torch.zeros(4, 4), True, LOGITS[..., :4])
    assert term is not None
    assert torch.equal(term == float("-inf"), torch.ones(4, 4, dtype=torch.bool).triu(1))


def test_query_key_and_value_are_split_as_timm_splits_them() -> None:
    qkv = torch.randn(2, 5, 72)
    q, k, v = attention().split(qkv)
    wanted = qkv.reshape(2, 5, 3, 3, 8).permute(2, 0, 3, 1, 4)
    assert torch.equal(torch.stack([q, k, v]), wanted)


@pytest.mark.parametrize("role", ROLES)
def test_one_quantized_operand_is_enough_to_leave_the_float_path(role: str) -> None:
    layer, x = attention(role), torch.randn(2, 5, 24, dtype=torch.float64)
    assert attention().is_float() and not layer.is_float()
    seen: list[Tensor] = []
    getattr(layer, f"{role}_quantizer").register_forward_hook(lambda q, args, ready: seen.append(args[0]))
    with torch.no_grad():
        getattr(layer, f"{role}_quantizer").scale.fill_(1e-9 if role == "probability" else 0.05)
    layer(x)
    assert len(seen) == 1 and seen[0].shape[:2] == (2, 3)


def test_fine_grids_come_close_to_the_float_layer() -> None:
    layer, x = attention(*ROLES), torch.randn(2, 5, 24, dtype=torch.float64)
    exact = attention()(x)
    with torch.no_grad():
        for role in ROLES:
            getattr(layer, f"{role}_quantizer").scale.fill_(1 / 255 if role == "probability" else 3 / 127)
    assert (layer(x) - exact).abs().max() <= 0.02


def test_a_bias_kept_in_parts_is_joined() -> None:
    layer = attention()
    assert joined_bias(layer) is layer.qkv.bias
    layer.q_bias, layer.k_bias, layer.v_bias = (torch.full((2,), float(i)) for i in range(3))
    assert joined_bias(layer).tolist() == [0, 0, 1, 1, 2, 2]
