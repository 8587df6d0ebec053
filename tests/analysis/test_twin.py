"""A twin computes what its model computes, and what happens to it the model never sees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit.analysis.twin import float_twin, open_twin, twin
from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.walk import quantized
from tests.surgery import tiny


def low(make: Callable[[], nn.Module], plan: Any = "w4a4") -> nn.Module:
    model = stillbit.quantize(make(), plan)
    stillbit.calibrate(model, [tiny.images()])
    return model.eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        return model(tiny.images())


def test_a_twin_shares_every_number_and_no_module() -> None:
    model = low(tiny.vit).train()
    copy = twin(model)
    assert [id(p) for p in copy.parameters()] == [id(p) for p in model.parameters()]
    assert [id(b) for b in copy.buffers()] == [id(b) for b in model.buffers()]
    assert not {id(m) for m in copy.modules()} & {id(m) for m in model.modules()}
    assert model.training and not any(m.training for m in copy.modules())


@pytest.mark.parametrize("name", tiny.FAMILIES)
def test_an_open_twin_of_a_float_model_computes_what_the_model_does(name: str) -> None:
    model = tiny.FAMILIES[name]().eval()
    torch.testing.assert_close(logits(open_twin(model)), logits(model), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["vit", "swin_v2", "eva", "timm_resnet", "cait"])
def test_an_open_twin_of_a_quantized_model_computes_what_the_model_does(name: str) -> None:
    model = low(tiny.FAMILIES[name])
    held = [type(layer) for _, layer in quantized(model) if layer.quantizers()]
    opened = open_twin(model)
    assert torch.equal(logits(opened), logits(model))
    assert [type(layer) for _, layer in quantized(opened) if layer.quantizers()] == held


def test_layers_that_a_plan_left_float_are_opened_too() -> None:
    plan = stillbit.Plan.uniform(4, 4).but(stillbit.Rule("blocks.0.*", None))
    model = low(tiny.vit, plan)
    closed = {name for name, _ in quantized(model)}
    opened = dict(quantized(open_twin(model)))
    assert "blocks.0.attn" not in closed and isinstance(opened["blocks.0.attn"], QuantAttention)
    assert isinstance(opened["blocks.0.mlp.fc1"], QuantLayer)


def test_a_layer_in_two_places_is_one_in_the_twin() -> None:
    opened: Any = open_twin(tiny.shared())
    assert opened.inside.first is opened.inside.second[1] and isinstance(opened.inside.first, QuantLayer)


def test_a_single_layer_has_a_twin() -> None:
    layer = nn.Linear(4, 4)
    opened = open_twin(layer)
    assert isinstance(opened, QuantLayer) and opened.weight is layer.weight


def test_hooks_on_a_twin_are_not_on_the_model() -> None:
    model = tiny.vit()
    for module in open_twin(model).modules():
        module.register_forward_hook(lambda *_: None)
    assert not any(m._forward_hooks for m in model.modules())
    assert not any(isinstance(m, QuantLayer) for m in model.modules())


def test_a_float_twin_is_the_float_model_around_the_latent_weights() -> None:
    origin = tiny.vit().eval()
    model = stillbit.quantize(origin, "w2a2")
    plain = float_twin(model)
    assert not any(True for _ in quantized(plain)) and any(True for _ in quantized(model))
    torch.testing.assert_close(logits(plain), logits(origin), rtol=0, atol=0)
    ours: Any = model
    theirs: Any = plain
    assert theirs.blocks[0].attn.qkv.weight is ours.blocks[0].attn.qkv.weight


def test_merged_query_and_key_stay_merged_in_a_float_twin() -> None:
    model = low(tiny.vit, stillbit.Plan.uniform(4, 4, merge=True))
    assert [name for name, _ in quantized(float_twin(model))] == ["blocks.0.attn", "blocks.1.attn"]
