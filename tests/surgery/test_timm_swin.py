"""Swin, version 1 and 2."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit import AttentionSpec, Plan, Rule, Spec, per_head, per_token
from stillbit.surgery.site import Headed, Site
from stillbit.surgery.survey import survey
from stillbit.surgery.timm_swin import QuantSwinAttention, QuantSwinV2Attention
from tests.surgery import tiny


def sites(model: nn.Module) -> dict[str, Site]:
    return {site.name: site for site in survey(model).sites}


@pytest.mark.parametrize(("make", "layer"), [(tiny.swin, QuantSwinAttention), (tiny.swin_v2, QuantSwinV2Attention)])
def test_window_attention_is_found_with_its_heads_and_its_window(make: Any, layer: type) -> None:
    found = sites(make())
    for stage, heads in ((0, 2), (1, 4)):
        site = found[f"layers.{stage}.blocks.0.attn"]
        assert (site.layer, site.num_heads, site.width, site.tokens) == (layer, heads, 12, 16)
        assert found[f"layers.{stage}.blocks.0.attn.qkv"].heads == Headed(3 * heads, 0)
        assert found[f"layers.{stage}.blocks.0.attn.proj"].heads == Headed(heads, 1)
    assert "reduction" in found["layers.1.downsample.reduction"].roles
    assert found["layers.0.blocks.0.mlp.fc2"].range == "shifted"


def test_only_version_1_can_be_merged() -> None:
    assert sites(tiny.swin())["layers.0.blocks.0.attn"].merge is not None
    assert sites(tiny.swin_v2())["layers.0.blocks.0.attn"].merge is None


def test_the_small_mlp_of_the_position_bias_has_a_role_of_its_own() -> None:
    found = sites(tiny.swin_v2())
    name = "layers.0.blocks.0.attn.cpb_mlp"
    assert "position" in found[f"{name}.0"].roles and found[f"{name}.0"].range == "signed"
    assert "position" in found[f"{name}.2"].roles and found[f"{name}.2"].range == "unsigned"
    model: Any = stillbit.quantize(tiny.swin_v2(), "w2a2")
    assert model.get_submodule(f"{name}.0").weight_quantizer.grid.bits == 8
    assert survey(tiny.swin_v2()).sites[-1].roles[0] == "last"


@pytest.mark.parametrize("make", [tiny.swin, tiny.swin_v2])
def test_windows_take_a_scale_a_head_and_a_token(make: Any) -> None:
    for granularity in (per_head, per_token):
        plan = Plan.uniform(4, 4, granularity=per_head)
        plan = plan.but(Rule("@attention", AttentionSpec.all(Spec(4, granularity=granularity))))
        model = stillbit.quantize(make(), plan)
        stillbit.calibrate(model, [tiny.images()])
        model(tiny.images()).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("make", [tiny.swin, tiny.swin_v2])
def test_shifted_windows_stay_apart(make: Any) -> None:
    """The -100 of Swin's mask leaves a probability of exp(-100): its code is zero."""
    model = stillbit.quantize(make(depths=(2,), num_heads=(2,)), "w8a8").eval()
    stillbit.calibrate(model, [tiny.images()])
    block = model.layers[0].blocks[1]
    assert any(block.shift_size)
    found = []
    block.attn.probability_quantizer.register_forward_hook(lambda q, args, ready: found.append(ready.code()))
    model(tiny.images(1))
    hidden = (block.attn_mask != 0).unsqueeze(1).expand_as(found[0])
    assert hidden.any() and (found[0][hidden] == 0).all() and (found[0][~hidden] > 0).any()


def test_another_image_size_works_after_quantizing() -> None:
    model = stillbit.quantize(tiny.swin_v2(), "w4a4")
    stillbit.calibrate(model, [tiny.images()])
    model.set_input_size(img_size=(64, 64))
    assert model(torch.randn(1, 3, 64, 64)).shape == (1, 10)
