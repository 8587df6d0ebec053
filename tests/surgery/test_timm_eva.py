"""EVA, RoPE ViTs and BEiT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import AttentionRope
from timm.models.beit import Attention as BeitAttention
from timm.models.eva import EvaAttention
from torch import nn

import stillbit
from stillbit.surgery.site import Headed
from stillbit.surgery.survey import survey
from stillbit.surgery.timm_eva import LAYERS, claim
from tests.surgery import tiny

MAKERS: dict[type[nn.Module], Callable[[], Any]] = {
    EvaAttention: lambda: EvaAttention(24, 3, norm_layer=nn.LayerNorm),
    AttentionRope: lambda: AttentionRope(24, 3),
    BeitAttention: lambda: BeitAttention(24, 3, qkv_bias=True, window_size=(3, 5)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_an_attention_of_these_families_is_claimed_with_its_linears(kind: type[nn.Module]) -> None:
    attention = MAKERS[kind]()
    found = {site.name: site for site in claim("attn", attention, nn.Identity())}
    assert set(found) == {"attn", "attn.qkv", "attn.proj"}
    assert found["attn"].layer is LAYERS[kind] and (found["attn"].num_heads, found["attn"].width) == (3, 8)
    assert found["attn.qkv"].heads == Headed(9, 0)
    assert not claim("attn", nn.Linear(2, 2), nn.Identity())


def test_projections_kept_apart_have_the_role_of_qkv_and_their_own() -> None:
    attention = AttentionRope(24, 3, qkv_fused=False, num_kv_heads=1)
    found = {site.name: site for site in claim("attn", attention, nn.Identity())}
    assert found["attn.q_proj"].heads == Headed(3, 0) and found["attn.k_proj"].heads == Headed(1, 0)
    assert {"k_proj", "qkv"} <= set(found["attn.k_proj"].roles)


@pytest.mark.parametrize("make", [tiny.eva, tiny.beit])
def test_a_model_computes_the_float_function_while_its_quantizers_let_floats_through(make: Any) -> None:
    model = make().double().eval()
    rounded = stillbit.quantize(model, "w4a4")
    seen: list[torch.Tensor] = []
    rounded.register_forward_hook(lambda m, a, y: seen.append(y))
    x = tiny.images(dtype=torch.float64)
    stillbit.calibrate(rounded, [x])
    assert (seen[0] - model(x)).abs().max() <= 1e-12
    assert not survey(model).floats
