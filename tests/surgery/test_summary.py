"""What is said about a model is what it does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_head
from stillbit.surgery.summary import Row, Summary
from tests.surgery import tiny


def vit(plan: Any = "w4a4", **options: Any) -> Any:
    return stillbit.quantize(tiny.vit(depth=2, **options), plan)


def row(model: nn.Module, name: str) -> Row:
    return next(r for r in stillbit.summary(model).rows if r.module == name)


def test_there_is_a_row_for_every_layer_that_multiplies() -> None:
    rows = stillbit.summary(vit()).rows
    assert [r.module for r in rows][:6] == [
        "patch_embed.proj",
        "blocks.0.attn",
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
        "blocks.0.mlp.fc1",
        "blocks.0.mlp.fc2",
    ]
    assert len(rows) == 12 and all(r.quantizers for r in rows)


def test_a_row_says_bits_range_method_and_how_many_scales() -> None:
    plan = Plan.uniform(3, 4, weight="statsq", granularity=per_head)
    assert row(vit(plan), "blocks.0.attn.qkv").quantizers == {"weight": "3r StatsQ/9", "input": "4 LSQ/1"}
    assert row(vit(plan), "blocks.0.attn.proj").quantizers["weight"] == "3r StatsQ/3"
    assert row(vit(plan), "blocks.0.attn").quantizers == {
        "query": "4 LSQ/1",
        "key": "4 LSQ/1",
        "value": "4 LSQ/1",
        "probability": "4u LSQ/1",
    }
    assert row(vit(plan), "blocks.0.mlp.fc2").quantizers["input"] == "4u LSQPlus/1"


def test_every_parameter_of_the_rows_is_counted_once() -> None:
    model = vit()
    said = stillbit.summary(model)
    assert said.parameters == sum(p.numel() for p in model.parameters())
    inside = {"patch_embed.proj", "head"} | {f"blocks.{i}.{n}" for i in (0, 1) for n in ("attn.qkv", "mlp.fc1")}
    for name in inside:
        layer = model.get_submodule(name)
        assert row(model, name).parameters == sum(p.numel() for p in layer.parameters())


def test_packed_bytes_are_codes_at_their_width_and_the_rest_as_it_is_stored() -> None:
    plan = Plan((Rule("*", LayerSpec(Spec(3, granularity=per_channel), Spec(32))),))
    model = stillbit.quantize(nn.Sequential(nn.Linear(64, 32)), plan)
    codes, bias, scales = 64 * 32 * 3, 32 * 32, 32 * 32
    assert stillbit.summary(model).weight_bytes == (codes + bias + scales) // 8
    assert stillbit.summary(vit("w2a4")).weight_bytes < stillbit.summary(vit("w4a4")).weight_bytes


def test_scales_that_are_no_parameters_are_stored_as_well() -> None:
    sizes = []
    for method in ("lsq", "minmax", "statsq"):
        plan = Plan((Rule("*", LayerSpec(Spec(4, method, per_channel), Spec(32))),))
        model = stillbit.quantize(nn.Sequential(nn.Linear(64, 32)), plan)
        sizes.append(stillbit.summary(model).weight_bytes)
    assert len(set(sizes)) == 1, "a packed file needs them, wherever they live while it trains"


@pytest.mark.parametrize(
    ("plan", "module", "note"),
    [
        (Plan.uniform(4, 4).but(Rule("head", None)), "head", "float: the plan says so"),
        (Plan((Rule("@qkv", LayerSpec(Spec(), Spec())),)), "head", "float: no rule speaks of it"),
        (Plan((Rule("@qkv", LayerSpec(Spec(), Spec())),)), "blocks.0.attn", "float: no rule speaks of it"),
        (
            Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(32), Spec(32)))),
            "head",
            "float: the plan says 32 bits",
        ),
    ],
)
def test_what_stays_float_is_said_with_the_reason(plan: Plan, module: str, note: str) -> None:
    assert row(vit(plan), module).note == note
    assert note in str(stillbit.summary(vit(plan)))


def test_a_layer_that_came_later_is_said_to_be_float() -> None:
    model = vit()
    model.head = nn.Linear(48, 3)
    assert row(model, "head").note == "float: put in after quantize"


def test_a_merged_attention_shows_what_it_costs() -> None:
    model = vit(Plan.uniform(4, 4, merge=True))
    attention = model.blocks[0].attn
    weights = attention.qk.weight.numel() / (2 * 48 * 48)
    assert row(model, "blocks.0.attn").note == f"query and key merged: weights x{weights:g}, score MACs x3"
    assert row(model, "blocks.0.attn.v").note == "input: the codes of qk"
    assert set(row(model, "blocks.0.attn").quantizers) == {"query", "value", "probability"}
    before, after = stillbit.summary(vit()), stillbit.summary(model)
    assert after.parameters > before.parameters and (after.macs or 0) > (before.macs or 0)


def test_a_merged_attention_with_float_linears_says_why_they_are_float() -> None:
    model = vit(Plan((Rule("@attention", AttentionSpec.all(Spec(4), merge=True)),)))
    assert row(model, "blocks.0.attn.qk").note == "float: no rule speaks of it"
    said = vit(Plan.uniform(4, 4, merge=True).but(Rule("@qkv", None)))
    assert row(said, "blocks.0.attn.v").note == "float: the plan says so"


def test_macs_are_shown_where_the_model_says_its_input_or_an_example_does() -> None:
    model = stillbit.quantize(tiny.plain(), "w4a4")
    assert stillbit.summary(model).macs is None
    shown = stillbit.summary(model, tiny.images(1))
    assert shown.macs == shown.macs_on_codes and shown.macs is not None
    said = stillbit.summary(vit())
    assert said.macs == said.macs_on_codes == sum(r.macs or 0 for r in said.rows)
    assert "100.0% of them on codes" in str(said)


def test_what_is_not_calibrated_is_told_what_to_call() -> None:
    model = vit()
    assert not stillbit.summary(model).calibrated
    assert "not calibrated: call stillbit.calibrate(model, batches)" in str(stillbit.summary(model))
    stillbit.calibrate(model, [tiny.images()])
    assert stillbit.summary(model).calibrated and "not calibrated" not in str(stillbit.summary(model))
    assert stillbit.summary(stillbit.quantize(tiny.vit(), Plan.uniform(4, 32, ends=32))).calibrated


def test_the_table_has_a_line_for_all_layers_that_are_alike() -> None:
    table = str(stillbit.summary(vit()))
    assert "blocks.{0-1}.attn.qkv" in table and "2 x 7.2 k" in table
    assert table.splitlines()[0].split() == ["module", "layer", "quantizers", "params", "MACs"]
    assert all(line == line.rstrip() and len(line) <= 150 for line in table.splitlines())
    uneven = str(stillbit.summary(vit(Plan.uniform(4, 4).but(Rule("blocks.0.mlp.fc1", None)))))
    assert "blocks.0.mlp.fc1" in uneven and "blocks.1.mlp.fc1" in uneven


def test_a_summary_is_a_value_and_needs_a_model_of_stillbits() -> None:
    assert stillbit.summary(vit()) == stillbit.summary(vit())
    assert isinstance(stillbit.summary(vit()), Summary)
    with pytest.raises(ValueError, match=r"call model = stillbit.quantize\(model, 'w4a4'\) first"):
        stillbit.summary(tiny.vit())


def test_a_summary_reads_and_changes_nothing() -> None:
    model = vit().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    stillbit.summary(model, tiny.images(1))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert {m.training for m in model.modules()} == {True} and torch.equal(torch.get_rng_state(), state)


def test_the_repr_of_a_model_shows_bits() -> None:
    said = repr(vit("w3a2"))
    assert "weight=3, input=2" in said and "query=2, key=2, value=2, probability=2u" in said
    assert "LSQ(bits=3, signed, scales=144x1)" in said


def test_moves_and_rectified_operands_are_said() -> None:
    spec = AttentionSpec.all(Spec(4, moves=True), rectify=True)
    model = vit(Plan.uniform(4, 4).but(Rule("@attention", spec)))
    said = row(model, "blocks.0.attn")
    assert said.quantizers["query"] == "4 LSQ/1 moved" and said.quantizers["probability"] == "4u LSQ/1"
    assert said.note == "query and key rectified"
    floats = vit(Plan.uniform(4, 4).but(Rule("@attention", AttentionSpec.all(Spec(32), rectify=True))))
    assert row(floats, "blocks.0.attn").note == "float: the plan says 32 bits; query and key rectified"
    assert not stillbit.summary(model).calibrated
    stillbit.calibrate(model, [tiny.images()])
    assert stillbit.summary(model).calibrated
    model.blocks[1].attn.key_rectify.started.fill_(False)
    assert not stillbit.summary(model).calibrated


def test_moves_are_stored_as_well() -> None:
    sizes = []
    for moves in (False, True):
        plan = Plan((Rule("*", LayerSpec(Spec(4), Spec(4, moves=moves))),))
        sizes.append(stillbit.summary(stillbit.quantize(nn.Sequential(nn.Linear(64, 32)), plan)).weight_bytes)
    assert sizes[1] - sizes[0] == 2 * 64 * 4


def test_learned_bits_are_said_on_average() -> None:
    learned = Spec(5, "learned_bits", per_head)
    plan = Plan((Rule("@attention", AttentionSpec.all(learned)), Rule("@proj", LayerSpec(learned, learned))))
    model = stillbit.quantize(tiny.vit(depth=1), plan)
    assert stillbit.summary(model).learned_bits == (5.0, 5.0)
    with torch.no_grad():
        model.blocks[0].attn.proj.weight_quantizer.bits.copy_(torch.tensor([[2.0, 3.4, 3.0]]))
        model.blocks[0].attn.query_quantizer.bits.fill_(8.0)
    said = stillbit.summary(model)
    assert row(model, "blocks.0.attn.proj").quantizers == {"weight": "2.67 LearnedBits/3", "input": "5 LearnedBits/3"}
    assert row(model, "blocks.0.attn").quantizers["probability"] == "5u LearnedBits/3"
    weight, activation = said.learned_bits or (0.0, 0.0)
    assert weight == pytest.approx(8 / 3) and activation == pytest.approx((8 + 4 * 5) / 5)
    assert "bits are learned: 2.67 a weight and 5.60 an activation on average" in str(said)
    assert stillbit.summary(vit()).learned_bits is None and "learned" not in str(stillbit.summary(vit()))


def test_packed_bytes_follow_the_bits_that_were_learned() -> None:
    plan = Plan((Rule("*", LayerSpec(Spec(5, "learned_bits"), Spec(32))),))
    model = stillbit.quantize(nn.Sequential(nn.Linear(64, 32)), plan)
    before = stillbit.summary(model).weight_bytes
    assert before == (64 * 32 * 5 + 32 * 32 + 32) // 8, "one scale is left, that of the bits in use"
    with torch.no_grad():
        model[0].weight_quantizer.bits.fill_(3.0)
    assert before - stillbit.summary(model).weight_bytes == 64 * 32 * 2 // 8
