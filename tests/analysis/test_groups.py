"""What belongs together, and how much of a model it is."""

from __future__ import annotations

from itertools import pairwise

import pytest
import timm
import torch
from torch import nn

from stillbit import quantize
from stillbit.analysis.groups import Anatomy, Tensors
from stillbit.analysis.switches import Part
from tests.analysis.lowered import vit
from tests.contracts.test_families import float_model


def anatomy(model: nn.Module) -> Anatomy:
    return Anatomy(model, quantize(model, "w8a8"))


def named(found: tuple[Tensors, ...]) -> dict[str, Tensors]:
    return {group.name: group for group in found}


@pytest.fixture(scope="module")
def deit() -> Anatomy:
    with torch.device("meta"):
        model = timm.create_model("deit_tiny_patch16_224")
    return anatomy(model)


@pytest.mark.parametrize(
    ("role", "percent"), [("FFN", 62.1), ("MHSA", 31.1), ("query", 7.8), ("key", 7.8), ("value", 7.8)]
)
def test_the_shares_of_deit_t_are_those_that_vvtq_prints(deit: Anatomy, role: str, percent: float) -> None:
    """Table 1 of VVTQ."""
    group = named(deit.groups(("role",)))[role]
    assert f"{100 * group.parameters / deit.parameters:.1f}" == f"{percent}"


def test_deit_t_has_36_heads_12_blocks_62_layers_and_11_roles(deit: Anatomy) -> None:
    counts = {by: len(deit.groups((by,))) for by in ("head", "block", "layer", "role")}  # type: ignore[arg-type]
    assert counts == {"head": 36, "block": 12, "layer": 62, "role": 11}
    roles = [group.name for group in deit.groups(("role",))]
    assert roles == ["all", "FFN", "MHSA", "query", "key", "value", "projection", "fc1", "fc2", "patch", "head"]


def test_the_parts_of_a_head_are_all_that_it_alone_computes_with() -> None:
    """Three heads of eight channels."""
    group = named(anatomy(vit()).groups(("head",)))["blocks.1.attn 2"]
    assert (group.layer, group.head) == ("blocks.1.attn", 2)
    qkv, proj, products = "blocks.1.attn.qkv", "blocks.1.attn.proj", "blocks.1.attn"
    assert set(group.parts) == {
        *(Part(qkv, "weight", 0, 24 * third + 16, 8) for third in range(3)),
        Part(proj, "weight", 1, 16, 8),
        Part(proj, "input", -1, 16, 8),
        *(Part(products, role, -3, 2, 1) for role in ("query", "key", "value", "probability")),
    }
    assert group.parameters == 3 * 8 * (24 + 1) + 24 * 8


def test_a_role_takes_its_rows_of_the_weight_and_its_operand_of_every_block() -> None:
    group = named(anatomy(vit()).groups(("role",)))["key"]
    rows = {Part(f"blocks.{i}.attn.qkv", "weight", 0, 24, 24) for i in range(2)}
    assert set(group.parts) == rows | {Part(f"blocks.{i}.attn", "key") for i in range(2)}


def test_all_leaves_the_ends_out_and_they_are_groups_of_their_own() -> None:
    held = anatomy(vit())
    groups = named(held.groups(("role",)))
    assert held.ends() == {"patch_embed.proj", "head"} and not groups["all"].layers & held.ends()
    assert groups["all"].layers == groups["FFN"].layers | groups["MHSA"].layers
    assert groups["patch"].layers == {"patch_embed.proj"} and groups["head"].layers == {"head"}


@pytest.mark.parametrize("name", ["vit", "deit", "registers", "swin", "swin_v2", "eva", "beit", "mixer", "sret"])
def test_layers_and_blocks_are_apart_and_layers_are_everything(name: str) -> None:
    held = anatomy(float_model(name))
    layers = held.groups(("layer",))
    assert {part for group in layers for part in group.parts} == {
        Part(layer, role) for layer, roles in held.roles.items() for role in roles
    }
    for one, next_ in pairwise(held.groups(("block",))):
        assert not one.layers & next_.layers


@pytest.mark.parametrize("name", ["vit", "registers", "swin", "swin_v2", "eva", "beit", "sret"])
def test_the_heads_of_an_attention_share_nothing(name: str) -> None:
    heads = anatomy(float_model(name)).groups(("head",))
    parts = [part for group in heads for part in group.parts]
    assert heads and len(set(parts)) == len(parts)


def test_a_network_without_attention_has_ends_and_layers_and_no_heads() -> None:
    held = anatomy(float_model("timm_resnet"))
    assert [g.name for g in held.groups(("role",))] == ["all", "first", "last"]
    with pytest.raises(ValueError, match="this model has no heads that could be lowered one by one: use --by role"):
        held.groups(("role", "head"))
