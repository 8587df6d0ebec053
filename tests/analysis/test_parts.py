"""Weights are cut where a reader of the model would cut them, whether they are quantized or not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit.analysis.parts import WeightLayer, weight_layers
from tests.surgery import tiny

WIDTH, HEADS, HEAD = 48, 3, 16


def layers(model: nn.Module) -> dict[str, WeightLayer]:
    return {layer.name: layer for layer in weight_layers(model)}


def test_a_transformer_is_cut_into_roles_and_heads() -> None:
    model: Any = tiny.vit(depth=1)
    found = layers(model)
    assert {name: layer.role for name, layer in found.items()} == {
        "patch_embed.proj": "patch",
        "blocks.0.attn.qkv": "qkv",
        "blocks.0.attn.proj": "proj",
        "blocks.0.mlp.fc1": "fc1",
        "blocks.0.mlp.fc2": "fc2",
        "head": "head",
    }
    cut = list(found["blocks.0.attn.qkv"].parts())
    assert [(p.role, p.head) for p in cut] == [(r, h) for r in ("query", "key", "value") for h in range(HEADS)]
    weight = model.blocks[0].attn.qkv.weight
    assert torch.equal(cut[4].weight, weight[WIDTH + HEAD : WIDTH + 2 * HEAD])  # head 1 of the key
    taken = list(found["blocks.0.attn.proj"].parts())
    assert [(p.role, p.head) for p in taken] == [("proj", head) for head in range(HEADS)]
    assert torch.equal(taken[2].weight, model.blocks[0].attn.proj.weight[:, 2 * HEAD :])


@pytest.mark.parametrize("name", ["vit", "swin", "swin_v2", "eva", "beit", "timm_resnet", "sret", "plain", "shared"])
def test_a_quantized_model_is_cut_like_its_float_one(name: str) -> None:
    model = tiny.FAMILIES[name]()
    ours, theirs = weight_layers(model), weight_layers(stillbit.quantize(model, "w4a4"))
    assert [(one.name, one.role, one.pieces) for one in ours] == [(one.name, one.role, one.pieces) for one in theirs]
    assert all(torch.equal(one.weight, other.weight) for one, other in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_every_number_of_a_weight_is_in_one_part(name: str) -> None:
    for layer in weight_layers(tiny.FAMILIES[name]()):
        assert sum(part.weight.numel() for part in layer.parts()) == layer.weight.numel()


def test_a_merged_matrix_has_a_role_of_its_own() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), stillbit.Plan.uniform(4, 4, merge=True))
    found = layers(model)
    assert [(p.role, p.head) for p in found["blocks.0.attn.qk"].parts()] == [("query-key", h) for h in range(HEADS)]
    assert [(p.role, p.head) for p in found["blocks.0.attn.v"].parts()] == [("value", h) for h in range(HEADS)]


def test_a_weight_that_two_layers_share_comes_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    model[1].weight = model[0].weight
    assert list(layers(model)) == ["0", "2"]


def test_a_channel_knows_its_role_and_its_head() -> None:
    found = layers(tiny.vit(depth=1))
    qkv, proj, fc1 = (found[f"blocks.0.{name}"] for name in ("attn.qkv", "attn.proj", "mlp.fc1"))
    assert qkv.output(0) == ("query", 0) and qkv.output(WIDTH + 2 * HEAD) == ("key", 2)
    assert qkv.output(3 * WIDTH - 1) == ("value", 2) and qkv.input(0) == ("qkv", None)
    assert proj.input(HEAD) == ("proj", 1) and proj.output(0) == ("proj", None)
    assert fc1.output(3) == fc1.input(3) == ("fc1", None)


def test_the_first_convolution_of_a_cnn_is_its_stem() -> None:
    found = layers(tiny.timm_resnet())
    assert next(iter(found.values())).role == "stem" and found["fc"].role == "head"


def test_a_model_without_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="no weight that could be quantized: give one with linears or convolutions"):
        weight_layers(nn.Sequential(nn.ReLU()))
