"""What every layer computes on, counted from the steps of a program."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import stillbit
from stillbit.deploy.proof.layers import Layer, alike, layers_of
from stillbit.deploy.tracing.trace import trace
from stillbit.surgery.macs import count
from tests.deploy import small


def rows(model: nn.Module, x: torch.Tensor) -> dict[str, Layer]:
    return {row.name: row for row in layers_of(trace(model, x))}


@pytest.fixture(scope="module")
def vit() -> dict[str, Layer]:
    x = small.images()
    return rows(small.trained(small.vit(), "lsq", "w3a4", x), x)


def test_linears_convolutions_and_attention_are_integer(vit: dict[str, Layer]) -> None:
    computes = {name: row.computes for name, row in vit.items() if row.macs}
    names = ["patch_embed.proj", "blocks.0.attn.qkv", "blocks.0.attn", "blocks.0.attn.proj"]
    assert list(computes) == [*names, "blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "head"]
    assert set(computes.values()) == {"integer"}
    assert vit["blocks.0.norm1"].computes == "float" and not vit["blocks.0.norm1"].macs


def test_bits_are_those_of_the_plan(vit: dict[str, Layer]) -> None:
    assert (vit["head"].weight, vit["head"].activation) == ("8", "8")
    assert (vit["blocks.0.mlp.fc1"].weight, vit["blocks.0.mlp.fc1"].activation) == ("3", "4")
    assert vit["blocks.0.mlp.fc2"].activation == "4u", "behind GELU nothing is far below zero"
    assert (vit["blocks.0.attn"].weight, vit["blocks.0.attn"].activation) == ("", "4, 4u")
    assert (vit["head"].bits, vit["blocks.0.attn"].bits, vit["norm"].bits) == ("w8 a8", "a4,4u", "")


def test_multiplications_are_those_that_the_model_counts() -> None:
    x = small.images()
    model = small.trained(small.vit(), "lsq", "w3a4", x)
    counted = count(model, x[:1]).by_module
    ours = {name: row.macs for name, row in rows(model, x).items() if row.macs}
    assert ours == counted


def test_bytes_are_codes_at_their_width_and_four_a_float(vit: dict[str, Layer]) -> None:
    assert vit["blocks.0.mlp.fc1"].bytes == 16 * 64 * 3 // 8 + 4 * (64 + 64 + 1)
    assert vit["blocks.0.norm1"].bytes == 4 * 32


def test_what_two_layers_share_counts_once() -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), "ofq", "w2a2", x), x)
    per_layer = sum(row.bytes for row in layers_of(program))
    whole = sum(-(-c.array.size * (c.grid.bits if c.grid else 32) // 8) for c in program.constants.values())
    assert per_layer == whole


def test_a_product_of_what_had_been_codes_is_told_from_an_integer_one() -> None:
    x = small.images()
    held = rows(small.trained(small.vit(), "ofq", "w2a2", x), x)["blocks.0.attn"]
    assert held.computes == "integer, dequantised"
    assert held.integer > held.dequantised > 0 == held.floating


def test_a_layer_left_in_float_is_float() -> None:
    plan = stillbit.Plan.of("w4a4").but(stillbit.Rule("head", None))
    model = stillbit.quantize(small.vit(), plan)
    torch.nn.init.normal_(model.head.bias)
    stillbit.calibrate(model, [small.images()])
    held = rows(model.eval(), small.images())
    assert held["head"].computes == "float" and held["head"].weight == "" and held["head"].macs == 16 * 5
    assert held["head"].bytes == 4 * (16 * 5 + 5)


def test_equal_blocks_are_one_group() -> None:
    x = small.images()
    groups = alike(layers_of(trace(small.trained(small.vit(depth=3), "lsq", "w4a4", x), x)))
    names = [[row.name for row in group] for group in groups if group[0].name.endswith("mlp.fc1")]
    assert names == [[f"blocks.{n}.mlp.fc1" for n in range(3)]]
