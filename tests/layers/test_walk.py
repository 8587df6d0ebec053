"""The only walk over a model's quantized layers."""

from __future__ import annotations

from torch import nn

from stillbit import quantize
from stillbit.layers.linear import QuantLinear
from stillbit.layers.walk import quantized, quantizers, scale_names
from tests.surgery import tiny


def test_layers_come_in_the_order_of_the_model_with_their_names() -> None:
    model = quantize(tiny.vit(depth=1), "w4a4")
    assert [name for name, _ in quantized(model)] == [
        "patch_embed.proj",
        "blocks.0.attn",
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
        "head",
    ]
    assert all(model.get_submodule(name) is layer for name, layer in quantized(model))


def test_quantizers_come_with_layer_and_role() -> None:
    model = quantize(tiny.vit(depth=1), "w4a4")
    found = [(name, role) for name, role, _ in quantizers(model)]
    assert found[:3] == [("patch_embed.proj", "weight"), ("patch_embed.proj", "input"), ("blocks.0.attn", "query")]
    assert len(found) == 4 + 6 * 2
    named = dict(model.named_modules())
    for name, role, quantizer in quantizers(model):
        assert named[f"{name}.{role}_quantizer"] is quantizer


def test_a_layer_in_two_places_comes_once() -> None:
    layer = QuantLinear(2, 2)
    assert [name for name, _ in quantized(nn.Sequential(layer, nn.Sequential(layer)))] == ["0"]


def test_a_model_that_is_a_layer_itself_has_an_empty_name() -> None:
    layer = quantize(nn.Linear(2, 2), "w4a4")
    assert [(name, role) for name, role, _ in quantizers(layer)] == [("", "weight"), ("", "input")]


def test_a_float_model_has_nothing_to_walk() -> None:
    assert not list(quantized(tiny.plain())) and not list(quantizers(tiny.plain()))


def test_the_parameters_of_quantizers_are_named_and_no_others() -> None:
    model = quantize(tiny.vit(depth=1), "w4a4")
    names = scale_names(model)
    scales = {id(p) for _, _, q in quantizers(model) for p in q.parameters()}
    assert scales and {id(p) for n, p in model.named_parameters() if n in names} == scales
    assert not scale_names(tiny.plain())
