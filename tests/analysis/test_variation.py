"""The record of variation, whole."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.variation import Extra, Variation, compared, compute
from stillbit.data.batch import Batch
from tests.surgery import tiny


def batches() -> list[Batch]:
    return [Batch(tiny.images(4), torch.arange(4), torch.arange(4))]


def vary(model: nn.Module, *, images: bool = False, **more: Any) -> Variation:
    extra = Extra(batches() if images else (), **more)
    return compute(model, subject="tests", about="made here", extra=extra)


def said(found: Variation) -> dict[str, Any]:
    return {one.over: one for one in found.weights}


def low(model: nn.Module, bits: Any = "w4a4") -> nn.Module:
    quantized = stillbit.quantize(model, bits)
    stillbit.calibrate(quantized, [tiny.images()])
    return quantized


def test_sdam_is_computed_by_hand_from_the_weights() -> None:
    model: Any = tiny.vit(depth=1)
    block = model.blocks[0]
    means = [model.patch_embed.proj.weight.abs().mean().item()]
    means += [part.abs().mean().item() for part in block.attn.qkv.weight.split(16)]
    means += [part.abs().mean().item() for part in block.attn.proj.weight.split(16, dim=1)]
    means += [layer.weight.abs().mean().item() for layer in (block.mlp.fc1, block.mlp.fc2, model.head)]
    mean = sum(means) / len(means)
    expected = math.sqrt(sum((m - mean) ** 2 for m in means) / len(means))
    modules = said(vary(model))["modules"]
    assert modules.deviation == pytest.approx(expected, rel=1e-5) and modules.parts == 16
    assert modules.relative == pytest.approx(expected / mean, rel=1e-5)


def test_channels_deviate_layer_by_layer() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 3))
    model[0].weight.data = torch.tensor([[1.0, -1.0], [3.0, -3.0]])
    model[1].weight.data = torch.full((3, 2), 5.0)
    channels = said(vary(model))["channels"]
    assert channels.deviation == 0.5 and channels.relative == 0.25 and (channels.parts, channels.sets) == (5, 2)


def test_a_louder_head_varies_more() -> None:
    model: Any = tiny.vit()
    before = said(vary(model))
    model.blocks[0].attn.qkv.weight.data[:16] *= 10
    after = said(vary(model))
    assert all(after[over].relative > before[over].relative for over in ("modules", "heads", "channels"))


def test_a_quantized_model_varies_as_its_latent_weights_do() -> None:
    model = tiny.swin()
    ours, theirs = vary(model), vary(low(model))
    assert ours.weights == theirs.weights and ours.spreads == theirs.spreads and ours.parameters == theirs.parameters


@pytest.mark.parametrize("name", ["vit", "swin_v2", "eva", "timm_resnet", "sret", "plain", "cait"])
@pytest.mark.parametrize("bits", [None, "w4a4"])
def test_every_model_that_can_be_quantized_has_a_record_that_comes_back(name: str, bits: str | None) -> None:
    model = tiny.FAMILIES[name]() if bits is None else low(tiny.FAMILIES[name](), bits)
    found = vary(model, images=True)
    assert from_json(Variation, to_json(found), "a test") == found
    assert found.images == 4 and found.flows and found.ranges and found.activations and not found.no_activations
    assert found.tables()[0].title == "Variation (SDAM)"


def test_without_images_the_table_says_why() -> None:
    found = vary(tiny.vit(), without="there is no data")
    assert not found.flows and not found.ranges and not found.activations and found.images == 0
    assert "Activations were not measured: there is no data." in found.tables()[0].note
    assert len(found.tables()) == 3


def test_parts_come_with_the_heaviest_tails_first() -> None:
    model: Any = tiny.vit()
    model.blocks[1].mlp.fc2.weight.data[3, 5] = 9.0
    table = next(t for t in vary(model).tables() if t.title == "Weights, part by part")
    assert table.rows[0][0] == "blocks.1.mlp.fc2"
    tails = [row[4] for row in table.rows]
    assert tails == sorted(tails, reverse=True)  # type: ignore[type-var]


def test_models_stand_side_by_side_this_one_first() -> None:
    others = [compared(tiny.timm_resnet(), "resnet", "random"), compared(tiny.vit(), "vit", "random")]
    found = vary(tiny.swin(), against=others)
    assert [one.model for one in found.against] == ["tests", "resnet", "vit"]
    table = found.tables()[0]
    assert [row[0] for row in table.rows] == ["tests", "resnet", "vit"]
    heads = [column.name for column in table.columns].index("heads")
    assert table.rows[1][heads] is None and table.rows[2][heads] is not None
    assert from_json(Variation, to_json(found), "a test") == found


def test_a_model_of_zeros_is_measured() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    for parameter in model.parameters():
        parameter.data.zero_()
    assert said(vary(model))["modules"].relative == 0.0


def test_broken_weights_are_refused_by_name() -> None:
    model: Any = tiny.vit()
    model.blocks[1].attn.proj.weight.data[2, 2] = math.inf
    with pytest.raises(ValueError, match=r"blocks\.1\.attn\.proj\.weight"):
        vary(model)


def test_the_model_is_left_as_it_was() -> None:
    model = low(tiny.vit()).train()
    model.head.requires_grad_(False)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    vary(model, images=True)
    assert model.training and not model.head.weight.requires_grad
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
