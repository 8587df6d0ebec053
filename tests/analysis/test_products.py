"""Products, counted as a reader with a pencil would count them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit import LayerSpec, Plan, Rule, Spec, per_head
from stillbit.analysis.cost import text
from stillbit.analysis.products import LayerCost, measure, products
from stillbit.models.sret import Shape, SReT
from stillbit.surgery.bitops import bitops
from tests.analysis import texts
from tests.surgery import tiny

TOKENS, WIDTH, HIDDEN, HEADS = 17, 48, 192, 3
IMAGE = tiny.images(1)


def of(model: nn.Module) -> tuple[LayerCost, ...]:
    return products(model, measure(model, IMAGE))


def named(model: nn.Module) -> dict[tuple[str, str], LayerCost]:
    return {(one.layer, one.product): one for one in of(model)}


def vit(plan: str | Plan | None = "w4a2") -> nn.Module:
    model = tiny.vit(depth=1)
    return model if plan is None else stillbit.quantize(model, plan)


def test_a_vision_transformer_is_counted_by_hand() -> None:
    found = named(vit())
    qkv = found["blocks.0.attn.qkv", "weight"]
    assert (qkv.role, qkv.macs, qkv.left_bits, qkv.right_bits) == ("qkv", TOKENS * WIDTH * 3 * WIDTH, 4, 2)
    assert qkv.bitops == qkv.macs * 8 and qkv.outputs == TOKENS * 3 * WIDTH
    # Codes of 4 bits, a float32 for each of the 144 rows, for each bias and for the input.
    assert qkv.weight_bytes == 3 * WIDTH * WIDTH / 2 + 4 * (3 * WIDTH) + 4 * (3 * WIDTH) + 4
    assert qkv.activation_bytes == TOKENS * WIDTH * 2 / 8
    scores, mixing = (found["blocks.0.attn", kind] for kind in ("scores", "mixing"))
    assert scores.macs == mixing.macs == TOKENS * TOKENS * WIDTH and scores.bitops == scores.macs * 4
    assert scores.outputs == HEADS * TOKENS * TOKENS and mixing.outputs == TOKENS * WIDTH
    assert scores.activation_bytes == 2 * TOKENS * WIDTH * 2 / 8
    assert mixing.activation_bytes == (HEADS * TOKENS * TOKENS + TOKENS * WIDTH) * 2 / 8
    assert scores.weight_bytes == 4 * 4 and mixing.weight_bytes == 0, "one scale each for q, k, p and v"
    patch = found["patch_embed.proj", "weight"]
    assert (patch.role, patch.left_bits, patch.right_bits) == ("patch", 8, 8)
    assert patch.activation_bytes == 3 * 32 * 32 and patch.outputs == 16 * WIDTH


def test_a_float_model_costs_32_bits_everywhere() -> None:
    found = of(vit(None))
    assert all((one.left_bits, one.right_bits) == (32, 32) and one.bitops == 1024 * one.macs for one in found)
    assert sum(one.weight_bytes for one in found) == sum(4 * p.numel() for p in vit(None).state_dict().values())


@pytest.mark.parametrize(
    ("name", "plan"),
    [
        ("vit", None),
        ("vit", "w1a8"),
        ("swin_v2", "w4a4"),
        ("eva", None),
        ("beit", "w4a4"),
        ("timm_resnet", "w4a4"),
        ("cait", "w4a4"),
    ],
)
def test_everything_adds_up_to_what_surgery_says(name: str, plan: str | None) -> None:
    model = tiny.FAMILIES[name]()
    model = model if plan is None else stillbit.quantize(model, plan)
    found = of(model)
    assert sum(one.bitops for one in found) == bitops(model, IMAGE).item()
    if plan is not None:
        said = stillbit.summary(model, IMAGE)
        assert sum(one.macs for one in found) == said.macs
        assert said.weight_bytes - 1 < sum(one.weight_bytes for one in found) <= said.weight_bytes


@pytest.mark.parametrize("name", ["vit", "swin_v2", "eva", "beit"])
def test_each_product_has_the_same_macs_float_and_quantized(name: str) -> None:
    """Also where a float attention reads the weight of its projection itself."""
    model = tiny.FAMILIES[name]()
    ours, theirs = of(model), of(stillbit.quantize(model, "w4a4"))
    for column in ("layer", "role", "product", "macs", "outputs", "heads"):
        assert [getattr(one, column) for one in ours] == [getattr(one, column) for one in theirs], column


def test_merged_attention_is_counted_with_the_whole_width() -> None:
    found = named(vit(Plan.uniform(4, 4, merge=True)))
    scores, mixing = (found["blocks.0.attn", kind] for kind in ("scores", "mixing"))
    assert scores.macs == HEADS * TOKENS * TOKENS * WIDTH and mixing.macs == TOKENS * TOKENS * WIDTH
    assert scores.outputs == HEADS * TOKENS * TOKENS
    assert scores.activation_bytes == (HEADS * TOKENS * WIDTH + TOKENS * WIDTH) * 4 / 8
    assert found["blocks.0.attn.v", "weight"].right_bits == 4, "its input is quantized by qk"


def test_scales_along_what_is_summed_are_counted() -> None:
    headed = Spec(4, "lsq", per_head)
    plan = Plan.uniform(4, 4).but(Rule("@proj", LayerSpec(headed, Spec(4))), Rule("@qkv", LayerSpec(headed, Spec(4))))
    found = named(vit(plan))
    proj, qkv = (found[f"blocks.0.attn.{name}", "weight"] for name in ("proj", "qkv"))
    assert (proj.scales, proj.heads) == (HEADS, HEADS), "a projection sums over its heads"
    assert (qkv.scales, qkv.heads) == (1, 1), "a query does not"
    plain = named(vit())["blocks.0.attn.proj", "weight"]
    assert (plain.scales, plain.heads) == (1, HEADS)


def test_a_block_that_runs_twice_reads_its_input_twice() -> None:
    small = SReT(Shape(base_dim=8, heads=(1, 1, 1), blocks=(1, 1, 1)), img_size=32, num_classes=4)
    model = stillbit.quantize(small, "w4a4")
    one = named(model)["stages.0.blocks.0.attn.qkv", "weight"]
    layer: Any = model.get_submodule("stages.0.blocks.0.attn.qkv")
    assert one.macs == one.outputs * layer.in_features
    assert one.outputs == 2 * 16 * layer.out_features, "a map of 4 x 4 tokens"
    assert one.activation_bytes == 2 * 16 * layer.in_features * 4 / 8


def test_learned_bits_count_as_they_are() -> None:
    learned = Spec(5, "learned_bits", per_head)
    plan = Plan.uniform(4, 4).but(Rule("@qkv", LayerSpec(learned, Spec(4))))
    model: Any = vit(plan)
    model.blocks[0].attn.qkv.weight_quantizer.bits.data[:3] = 2.0
    one = named(model)["blocks.0.attn.qkv", "weight"]
    assert one.left_bits == pytest.approx(4.0) and one.bitops == pytest.approx(one.macs * 4 * 4)


def test_a_weight_in_two_places_is_stored_once() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    found = products(model, measure(model, torch.zeros(1, 4)))
    assert [one.macs for one in found] == [16, 16, 0]
    assert sum(one.weight_bytes for one in found) == 4 * (16 + 4 + 4)


def test_the_model_is_left_as_it_was() -> None:
    model = vit().train()
    of(model)
    assert model.training and not any(m._forward_hooks for m in model.modules())
    assert not any(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("family", texts.READERS)
def test_a_model_of_texts_is_counted_by_hand(family: str) -> None:
    model = stillbit.quantize(texts.reader(family, blocks=1).float(), "w4a2")
    found = {(one.role, one.product): one for one in products(model, measure(model, text(model, 12)))}
    scores, mixing = found["attention", "scores"], found["attention", "mixing"]
    assert scores.macs == mixing.macs == 12 * 12 * 48 and scores.bitops == scores.macs * 4
    assert scores.outputs == 3 * 12 * 12 and mixing.outputs == 12 * 48
    assert scores.activation_bytes == 2 * 12 * 48 * 2 / 8
    assert mixing.activation_bytes == (3 * 12 * 12 + 12 * 48) * 2 / 8
    for role in ("query", "key", "value", "proj"):
        one = found[role, "weight"]
        assert (one.macs, one.left_bits, one.right_bits) == (12 * 48 * 48, 4, 2)
        assert one.activation_bytes == 12 * 48 * 2 / 8 and one.heads == (3 if role == "proj" else 1)
        # Codes of 4 bits, a float32 for each row, for each bias and for the input.
        assert one.weight_bytes == 48 * 48 / 2 + 4 * 48 + 4 * 48 + 4
    words = found["word", "weight"]
    assert (words.macs, words.left_bits, words.weight_bytes) == (0, 8, 64 * 48 + 4 * 64)
