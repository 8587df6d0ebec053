"""Vision transformers for small images."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

import stillbit.models.tiny_vit
from stillbit.surgery import macs

SIZES = {"pico": (64, 4, 2), "nano": (96, 6, 3), "micro": (128, 8, 4)}


def ghost(name: str, **options: Any) -> Any:
    with torch.device("meta"):
        return timm.create_model(name, **options)


@pytest.mark.parametrize("name", stillbit.models.tiny_vit.default_cfgs)
def test_a_tiny_vit_is_timms_with_the_mean_of_its_tokens(name: str) -> None:
    model = ghost(name)
    width, depth, heads = SIZES[name.split("_")[1]]
    assert type(model) is VisionTransformer
    assert (model.embed_dim, len(model.blocks), model.blocks[0].attn.num_heads) == (width, depth, heads)
    assert model.cls_token is None and model.global_pool == "avg"
    assert isinstance(model.fc_norm, torch.nn.LayerNorm) and isinstance(model.norm, torch.nn.Identity)
    assert model.patch_embed.num_patches == 64


@pytest.mark.parametrize(
    ("name", "parameters", "products"),
    [  # the table of docs/models.md
        ("vit_pico_patch4_32", 272_296, 14_940_672),
        ("vit_nano_patch4_32", 779_080, 47_576_832),
        ("vit_micro_patch4_32", 1_729_896, 109_573_120),
        ("vit_pico_patch8_64", 281_512, 15_530_496),
        ("vit_nano_patch8_64", 792_904, 48_461_568),
        ("vit_micro_patch8_64", 1_748_328, 110_752_768),
    ],
)
def test_parameters_and_macs_are_those_of_the_page(name: str, parameters: int, products: int) -> None:
    model = ghost(name)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert macs.count(model).total == products


def test_the_options_of_timm_work() -> None:
    model = timm.create_model("vit_pico_patch4_32", num_classes=5, img_size=48, in_chans=1, drop_path_rate=0.2, depth=2)
    assert model(torch.randn(2, 1, 48, 48)).shape == (2, 5)
    assert len(model.blocks) == 2 and model.blocks[-1].drop_path1.drop_prob == pytest.approx(0.2)
    assert model.pretrained_cfg["mean"] == (0.5, 0.5, 0.5) and model.pretrained_cfg["crop_pct"] == 1.0


def test_features_can_be_taken_out() -> None:
    model = timm.create_model("vit_pico_patch8_64", features_only=True)
    assert [tuple(f.shape) for f in model(torch.randn(1, 3, 64, 64))] == [(1, 64, 8, 8)] * 3


def test_asking_for_pretrained_weights_says_that_there_are_none() -> None:
    with pytest.raises(RuntimeError, match="No pretrained weights exist"):
        timm.create_model("vit_pico_patch4_32", pretrained=True)
