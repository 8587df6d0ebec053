"""The cost of models that others have counted."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

import stillbit
from stillbit.analysis.cost import Cost, compute, text
from stillbit.analysis.record import from_json, to_json
from stillbit.surgery.bitops import bitops
from tests.analysis import texts
from tests.surgery import tiny


def of(model: nn.Module, **more: Any) -> Cost:
    return compute(model, subject="tests", about="made here", **more)


def unmade(name: str) -> nn.Module:
    with torch.device("meta"):
        return timm.create_model(name)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("deit_tiny_patch16_224", 1.26e9),  # as DeiT is quoted; its paper rounds to 1.3 G
        ("swin_tiny_patch4_window7_224", 4.5e9),  # Swin's paper, Table 1
    ],
)
def test_bitops_at_32_bits_are_the_published_macs(name: str, published: float) -> None:
    found = of(unmade(name))
    assert found.bitops / 32**2 == pytest.approx(published, rel=0.01)
    assert found.macs == pytest.approx(published, rel=0.01) and found.image == "3 x 224 x 224"


def test_deit_tiny_at_4_bits_costs_the_budget_of_q_vit() -> None:
    """21.455 G, which its code gives to 4 bits with both ends at 8 (arXiv 2201.07703)."""
    points = {point.name: point for point in of(unmade("deit_tiny_patch16_224")).points}
    assert points["w4a4"].bitops == pytest.approx(21.455e9, rel=1e-4)


def test_other_bits_cost_what_a_model_with_these_bits_costs() -> None:
    found = of(tiny.vit(), top1=71.5)
    points = {point.name: point for point in found.points}
    assert list(points) == ["tests", "float", "w8a8", "w4a4", "w3a3", "w2a2"]
    for bits in ("w8a8", "w2a2"):
        model = stillbit.quantize(tiny.vit(), bits)
        assert points[bits].bitops == bitops(model).item()
        assert points[bits].weight_bytes == pytest.approx(stillbit.summary(model).weight_bytes, abs=1)
    assert points["tests"].bitops == points["float"].bitops == found.bitops and points["tests"].top1 == 71.5


def test_a_quantized_model_knows_what_it_would_cost_float() -> None:
    ours, theirs = of(tiny.swin()), of(stillbit.quantize(tiny.swin(), "w3a3"))
    assert ours.points[1:] == theirs.points[1:] and theirs.points[0].bitops == theirs.points[4].bitops
    assert ours.macs == theirs.macs and ours.parameters == theirs.parameters


def test_a_merged_model_stands_alone() -> None:
    found = of(stillbit.quantize(tiny.vit(), stillbit.Plan.uniform(4, 4, merge=True)))
    assert [point.name for point in found.points] == ["tests"] and found.hardware.designs


def test_the_ends_are_left_out_of_the_hardware_s_comparison() -> None:
    found = of(stillbit.quantize(tiny.vit(), "w3a2"))
    assert (found.hardware.weight_bits, found.hardware.imagined) == (pytest.approx(3, abs=0.5), False)
    found = of(stillbit.quantize(tiny.vit(), "w3a3"))
    assert (found.hardware.weight_bits, found.hardware.activation_bits, found.hardware.imagined) == (3.0, 3.0, True)


def test_module_scales_are_paid_for_by_single_precision() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w4a4")
    single, widest, _ = of(model).hardware.designs
    # Every output of a projection is put together of three heads, each with a scale: two rescalings more.
    assert single.scale_energy - widest.scale_energy == pytest.approx(2 * 17 * 48 * 3.2 / 1e6)


@pytest.mark.parametrize("name", ["vit", "timm_resnet", "swin_v2", "cait"])
@pytest.mark.parametrize("bits", [None, "w4a4"])
def test_a_record_comes_back_from_json(name: str, bits: str | None) -> None:
    model = tiny.FAMILIES[name]()
    found = of(model if bits is None else stillbit.quantize(model, bits), example=tiny.images(1))
    assert from_json(Cost, to_json(found), "a test") == found
    titles = [table.title for table in found.tables()]
    designed = ["Single against mixed precision"] if bits else []
    assert titles == ["Cost of an image", "Cost by layer", *designed, "One multiply-accumulate"]
    dear = [row[4] for row in found.tables()[1].rows]
    assert dear == sorted(dear, reverse=True)  # type: ignore[type-var]


def test_a_model_that_does_not_say_what_it_sees_is_given_an_image() -> None:
    with pytest.raises(ValueError, match=r"tests does not say how large its images are: give one"):
        of(tiny.plain())
    assert of(tiny.plain(), example=tiny.images(1)).image == "3 x 32 x 32"


@pytest.mark.parametrize("length", [128, 384])
def test_bert_base_costs_what_a_hand_counts(length: int) -> None:
    with torch.device("meta"):
        model = BertForSequenceClassification(BertConfig(num_labels=2))
    found = of(model, example=text(model, length))
    block = 4 * length * 768**2 + 2 * length * 768 * 3072 + 2 * length**2 * 768
    assert found.macs == 12 * block + 768**2 + 768 * 2 and found.bitops == 1024 * found.macs
    assert (found.unit, found.image) == ("text", f"{length} tokens")
    assert found.tables()[0].title == "Cost of a text" and f"One text of {length} tokens" in found.tables()[0].note
    assert not [one for one in found.layers if one.role in ("word", "position") and one.macs], "tables are looked up"
    assert from_json(Cost, to_json(found), "here") == found


def test_a_text_has_a_length_that_the_model_has_positions_for() -> None:
    model = texts.reader("roberta")  # two of its 20 rows stand before the first position
    assert text(model, 18)["input_ids"].shape == (1, 18)
    for length in (0, 19):
        with pytest.raises(ValueError, match=rf"a text of {length} tokens does not fit the 18 positions .*: 1 to 18"):
            text(model, length)
    with pytest.raises(ValueError, match=r"how large its texts are: give one, compute\(.*example=text\(model, 128\)"):
        of(model)
