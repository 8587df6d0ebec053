"""The only walk over a model's quantized layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillbit import Plan, quantize
from stillbit.layers.linear import QuantLinear
from stillbit.layers.walk import QuantizedWeight, heads_of, quantized, quantizers, scale_names, weights
from tests.surgery import tiny, tiny_hf


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


def test_weights_come_once_with_their_codes_whoever_shares_them() -> None:
    model = quantize(tiny.vit(depth=1), "w3a4")
    found = list(weights(model))
    assert [w.name for w in found] == [n for n, layer in quantized(model) if "weight" in layer.quantizers()]
    assert [w.bits for w in found] == [8, 3, 3, 3, 3, 8]
    for weight in found:
        assert weight.parameter is model.get_submodule(weight.name).weight
        assert torch.equal(weight.codes(), weight.quantizer(weight.parameter).code())
    layer, other = QuantLinear(2, 2), QuantLinear(2, 2)
    layer.weight_quantizer = other.weight_quantizer = found[1].quantizer
    other.weight = layer.weight
    assert [w.name for w in weights(nn.Sequential(layer, other))] == ["0"]
    assert not list(weights(tiny.plain()))


def cover(weight: QuantizedWeight) -> bool:
    """Whether the pieces of a weight lie in it side by side."""
    counts = torch.zeros_like(weight.parameter)
    for piece in weight.pieces():
        piece.of(counts).add_(1)
    return bool((counts == 1).all())


@pytest.mark.parametrize("family", ["vit", "swin", "eva", "sret", "timm_resnet", "beit"])
def test_the_pieces_of_a_weight_cover_it_once(family: str) -> None:
    assert all(cover(weight) for weight in weights(quantize(tiny.FAMILIES[family](), "w4a4")))


@pytest.mark.parametrize("family", ["vit", "swin"])
def test_the_pieces_of_a_merged_weight_cover_it_once(family: str) -> None:
    assert all(cover(weight) for weight in weights(quantize(tiny.FAMILIES[family](), Plan.uniform(4, 4, merge=True))))


def test_query_key_and_value_lie_on_the_rows_of_qkv_head_by_head() -> None:
    model = quantize(tiny.vit(depth=1), "w4a4")
    qkv, proj = (w for w in weights(model) if ".attn." in w.name)
    assert [(p.role, p.head) for p in qkv.pieces()] == [(r, h) for r in ("query", "key", "value") for h in range(3)]
    assert [(p.role, p.head) for p in proj.pieces()] == [("proj", 0), ("proj", 1), ("proj", 2)]
    attention = model.blocks[0].attn
    with torch.no_grad():
        for piece in qkv.pieces():  # a head whose rows are zero computes nothing
            if (piece.role, piece.head) == ("value", 1):
                piece.of(attention.qkv.weight).zero_()
        attention.qkv.bias.zero_()
    _, _, v = attention.split(attention.qkv(torch.randn(1, 5, 48)))
    assert not v[:, 1].any() and v[:, 0].any() and v[:, 2].any()


def test_a_projection_takes_its_heads_in_on_its_columns() -> None:
    model = quantize(tiny.vit(depth=1), "w4a4")
    proj = next(w for w in weights(model) if w.name.endswith("attn.proj"))
    assert [(p.axis, p.first, p.length) for p in proj.pieces()] == [(1, 0, 16), (1, 16, 16), (1, 32, 16)]


def test_a_merged_attention_has_a_matrix_a_head_of_query_and_key() -> None:
    model = quantize(tiny.vit(depth=1), Plan.uniform(4, 4, merge=True))
    parts = {w.name.rpartition(".")[2]: w.pieces() for w in weights(model) if ".attn." in w.name}
    assert [(p.role, p.head, p.length) for p in parts["qk"]] == [("query-key", h, 48) for h in range(3)]
    assert [(p.role, p.head, p.length) for p in parts["v"]] == [("value", h, 16) for h in range(3)]


def test_what_is_no_attention_is_one_piece_under_its_own_name() -> None:
    found = {w.name: w.pieces() for w in weights(quantize(tiny.vit(depth=1), "w4a4"))}
    assert [p.role for p in found["blocks.0.mlp.fc1"]] == ["fc1"] and found["patch_embed.proj"][0].head is None
    alone = next(weights(quantize(nn.Linear(2, 2), "w4a4")))
    assert alone.pieces() == (("weight", None, 0, 0, 2),)


@pytest.mark.parametrize("family", ["bert", "roberta", "electra", "distilbert", "vit"])
def test_heads_of_transformers_are_found_inside_of_attention_and_beside_it(family: str) -> None:
    model = quantize(tiny_hf.EVERY[family](), "w4a4")
    found = [w for w in weights(model) if w.pieces()[0].head is not None]
    assert [w.pieces()[0].role for w in found] == ["query", "key", "value", "proj"]
    assert len({w.home.name for w in found}) == 1 and all(w.home.heads == 3 for w in found)
    *rows, proj = found
    assert all([(p.axis, p.first) for p in w.pieces()] == [(0, 0), (0, 16), (0, 32)] for w in rows)
    assert [(p.axis, p.first, p.length) for p in proj.pieces()] == [(1, 0, 16), (1, 16, 16), (1, 32, 16)]
    assert all(cover(weight) for weight in weights(model))
    roles = [w.pieces()[0].role for w in weights(model)]
    assert roles.count("fc1") == roles.count("fc2") == 1 or family == "vit"


def test_a_head_without_columns_in_the_layer_beside_an_attention_reaches_nothing() -> None:
    """In BERT the layer that takes heads in is no child of the attention."""
    model = tiny_hf.bert().eval()
    words = tiny_hf.sentences()
    proj = next(w for w in weights(quantize(model, "w4a4")) if w.name.endswith("attention.output.dense"))
    value, dense = (model.get_submodule(f"bert.encoder.layer.0.attention.{n}") for n in ("self.value", "output.dense"))
    with torch.no_grad():
        proj.pieces()[1].of(dense.weight).zero_()
        before = model(**words).logits
        value.weight[16:32] = 7.0
        assert torch.equal(model(**words).logits, before)
        value.weight[:16] = 7.0
        assert not torch.equal(model(**words).logits, before)


def test_only_an_attention_says_how_many_heads_it_has() -> None:
    attention = tiny_hf.bert().bert.encoder.layer[0].attention
    assert (heads_of(attention.self), heads_of(attention), heads_of(nn.Linear(2, 2))) == (3, 0, 0)
