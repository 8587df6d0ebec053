"""timm's plain transformers: which layers there are, and what is known of their inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from timm.layers import Attention, GluMlp, Mlp, SwiGLU
from torch import nn

import stillbit
from stillbit.surgery.site import Headed, Site
from stillbit.surgery.survey import survey
from stillbit.surgery.timm_vit import QuantViTAttention, claim, tokens_of
from tests.surgery import tiny


def sites(model: nn.Module) -> dict[str, Site]:
    return {site.name: site for site in survey(model).sites}


def after(act: Any, **options: Any) -> str:
    return sites(nn.Sequential(Mlp(4, 8, act_layer=act, **options)))["0.fc2"].range


@pytest.mark.parametrize(
    ("act", "wanted"),
    [
        (nn.GELU, "shifted"),
        (nn.SiLU, "shifted"),
        (nn.ReLU, "unsigned"),
        (nn.ReLU6, "unsigned"),
        (nn.Tanh, "signed"),
        (nn.LeakyReLU, "signed"),
    ],
)
def test_the_input_of_fc2_is_what_the_activation_makes(act: type[nn.Module], wanted: str) -> None:
    assert after(act) == wanted


def test_gelus_of_timms_own_are_known() -> None:
    from timm.layers.activations import GELUTanh, QuickGELU

    assert after(GELUTanh) == after(QuickGELU) == "shifted"


def test_a_norm_behind_the_activation_brings_back_the_sign() -> None:
    assert after(nn.GELU, norm_layer=nn.LayerNorm) == "signed"


@pytest.mark.parametrize("make", [lambda: GluMlp(4, 8), lambda: SwiGLU(4, 8)])
def test_a_gated_mlp_has_signed_inputs(make: Any) -> None:
    found = sites(nn.Sequential(make()))
    assert {site.range for site in found.values()} == {"signed"}
    assert all({"fc1", "fc2"} & set(site.roles) for site in found.values())


def test_an_mlp_of_convolutions_is_known_too() -> None:
    found = sites(nn.Sequential(Mlp(4, 8, use_conv=True)))
    assert found["0.fc1"].roles[-1] == "conv" and found["0.fc2"].range == "shifted"


def test_an_attention_knows_its_heads_and_where_they_lie_in_its_linears() -> None:
    found = sites(tiny.vit(depth=1))
    attention = found["blocks.0.attn"]
    assert (attention.num_heads, attention.width, attention.tokens, attention.layer) == (3, 16, 17, QuantViTAttention)
    assert found["blocks.0.attn.qkv"].heads == Headed(9, 0) and found["blocks.0.attn.proj"].heads == Headed(3, 1)
    gated = sites(nn.Sequential(Attention(24, 3, gated=True, attn_head_dim=4)))
    assert gated["0.gate"].heads == Headed(3, 0) and gated["0"].width == 4


def test_an_attention_of_somebody_elses_making_is_not_claimed() -> None:
    class Mine(Attention):
        def forward(self, x: torch.Tensor, attn_mask: Any = None, is_causal: bool = False) -> torch.Tensor:
            return x @ x.mT @ x

    assert not claim("attn", Mine(24, 3), nn.Identity())
    found = survey(nn.Sequential(Mine(24, 3)))
    assert found.floats == {"0": "the products inside Mine are known to no family"}


@pytest.mark.parametrize(
    ("options", "tokens"),
    [
        ({}, 17),
        ({"class_token": False, "global_pool": "avg"}, 16),
        ({"reg_tokens": 4}, 21),
        ({"img_size": 64}, 65),
        ({"dynamic_img_size": True}, None),
        ({"patch_drop_rate": 0.5}, None),
    ],
)
def test_the_number_of_tokens_is_known_where_the_model_fixes_it(options: dict[str, Any], tokens: int | None) -> None:
    assert tokens_of(tiny.vit(**options)) == tokens


def test_a_distilled_model_has_a_token_more() -> None:
    assert tokens_of(tiny.deit()) == 18
    model = stillbit.quantize(tiny.deit(), "w4a4")
    token = stillbit.Spec(4, granularity=stillbit.per_token)
    plan = stillbit.Plan((stillbit.Rule("@fc1", stillbit.LayerSpec(stillbit.Spec(4), token)),))
    assert stillbit.quantize(tiny.deit(), plan)(tiny.images())[0].shape == model(tiny.images())[0].shape


def test_a_vision_transformer_that_pools_by_attention_says_what_stays_float() -> None:
    model = stillbit.quantize(tiny.vit(class_token=False, global_pool="map"), "w4a4")
    notes = {row.module: row.note for row in stillbit.summary(model).rows if row.note.startswith("float")}
    assert notes == {"attn_pool": "float: the products inside AttentionPoolLatent are known to no family"}
    assert model(tiny.images()).shape == (2, 10)


def test_masks_reach_the_quantized_attention() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w8a8").eval()
    stillbit.calibrate(model, [tiny.images()])
    mask = torch.ones(17, 17, dtype=torch.bool)
    mask[:, 5] = False
    mask[5, 5] = True
    x, other = tiny.images(), tiny.images()
    other[:, :, 8:16, 0:8] += 1.0  # the patch of token 5
    seen = [model.forward_features(i, attn_mask=mask)[:, 0] for i in (x, other)]
    assert torch.equal(*seen)
    free = [model.forward_features(i)[:, 0] for i in (x, other)]
    assert not torch.equal(*free)
