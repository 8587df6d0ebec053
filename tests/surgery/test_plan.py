"""Which rule wins, what a pattern means, and what is said about a plan that cannot be meant."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from torch import nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_group, per_head, per_tensor
from stillbit.surgery.plan import LayerSpec as Layer
from stillbit.surgery.plan import preset
from stillbit.surgery.site import Site
from stillbit.surgery.survey import survey
from tests.surgery import tiny

FOUR, EIGHT = (LayerSpec(Spec(b, granularity=per_channel), Spec(b)) for b in (4, 8))
INSIDE = AttentionSpec.all(Spec(4))


@pytest.fixture(scope="module")
def sites() -> list[Site]:
    return survey(tiny.vit()).sites


def chosen(plan: Plan, sites: list[Site]) -> dict[str, Any]:
    return plan.choose(sites)


def test_the_first_rule_that_matches_wins(sites: list[Site]) -> None:
    found = chosen(Plan((Rule("blocks.0.*", EIGHT), Rule("*", FOUR))), sites)
    assert found["blocks.0.attn.qkv"] is EIGHT and found["blocks.1.attn.qkv"] is FOUR and found["head"] is FOUR


def test_a_rule_put_in_front_wins_and_the_plan_itself_stays(sites: list[Site]) -> None:
    plan = Plan((Rule("*", FOUR),))
    found = chosen(plan.but(Rule("*.mlp.fc1", EIGHT), Rule("head", None)), sites)
    assert found["blocks.1.mlp.fc1"] is EIGHT and found["head"] is None and found["blocks.1.mlp.fc2"] is FOUR
    assert plan == Plan((Rule("*", FOUR),))


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("@first", {"patch_embed.proj"}),
        ("@last", {"head"}),
        ("@qkv", {"blocks.0.attn.qkv", "blocks.1.attn.qkv"}),
        ("@fc2", {"blocks.0.mlp.fc2", "blocks.1.mlp.fc2"}),
        ("@conv", {"patch_embed.proj"}),
        ("@heads", {f"blocks.{i}.attn.{n}" for i in (0, 1) for n in ("qkv", "proj")}),
        ("blocks.?.attn.proj", {"blocks.0.attn.proj", "blocks.1.attn.proj"}),
        ("blocks.[1-9].mlp.*", {"blocks.1.mlp.fc1", "blocks.1.mlp.fc2"}),
    ],
)
def test_a_pattern_is_a_glob_over_names_or_a_role(pattern: str, names: set[str], sites: list[Site]) -> None:
    assert set(chosen(Plan((Rule(pattern, FOUR),)), sites)) == names


def test_a_layer_spec_speaks_of_layers_and_an_attention_spec_of_attentions(sites: list[Site]) -> None:
    found = chosen(Plan((Rule("blocks.*", INSIDE), Rule("blocks.*", FOUR))), sites)
    assert found["blocks.0.attn"] is INSIDE and found["blocks.0.attn.qkv"] is FOUR


def test_none_keeps_layers_and_attentions_float(sites: list[Site]) -> None:
    found = chosen(Plan((Rule("blocks.0.*", None), Rule("*", FOUR))), sites)
    assert found["blocks.0.attn"] is None and found["blocks.0.attn.proj"] is None
    assert "blocks.1.attn" not in found, "no rule speaks of it"


# ------------------------------------------------------------------------------------------------ a pattern unmatched


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("block.*.attn.qkv", "blocks.*.attn.qkv"),
        ("@fc3", "@fc1"),
        ("heads", "head"),
        ("patch_embed", "patch_embed.proj"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error_that_names_near_matches(pattern: str, near: str) -> None:
    with pytest.raises(ValueError) as caught:
        stillbit.quantize(tiny.vit(depth=1), Plan((Rule(pattern, FOUR), Rule("*", FOUR))))
    said = str(caught.value)
    assert repr(pattern) in said and "matches no weight layer" in said and repr(near) in said
    assert "\n" not in said


def test_a_pattern_like_nothing_at_all_is_answered_with_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'zzz' matches no weight layer of this model; the model has '@first'"):
        stillbit.quantize(tiny.vit(depth=1), Plan((Rule("zzz", FOUR),)))


def test_a_layer_spec_for_an_attention_is_answered_with_layers() -> None:
    with pytest.raises(ValueError, match=r"'blocks.0.attn' matches no weight layer .* 'blocks.0.attn.qkv'"):
        stillbit.quantize(tiny.vit(depth=1), Plan((Rule("blocks.0.attn", FOUR),)))


def test_a_rule_that_earlier_rules_leave_nothing_is_an_error_with_the_cure() -> None:
    with pytest.raises(ValueError, match=r"'head' never applies: earlier rules take all .*plan\.but\(rule\)"):
        stillbit.quantize(tiny.vit(depth=1), Plan((Rule("*", FOUR), Rule("head", EIGHT))))


def test_an_optional_rule_may_match_nothing(sites: list[Site]) -> None:
    assert chosen(Plan((Rule("@embedding", FOUR, optional=True),)), sites) == {}


def test_a_plan_refuses_what_is_not_a_rule() -> None:
    with pytest.raises(ValueError, match=r"a plan is made of rules, got .*: write Plan\(\(Rule\("):
        Plan((("@qkv", FOUR),))  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [Spec(4), "w4a4", 4])
def test_a_rule_refuses_what_is_not_a_spec(spec: Any) -> None:
    with pytest.raises(ValueError, match="LayerSpec"):
        stillbit.quantize(nn.Sequential(nn.Linear(2, 2)), Plan((Rule("*", spec),)))


# ---------------------------------------------------------------------------------------------------------- bad bits


@pytest.mark.parametrize(("bits", "instead"), [(0, 1), (9, 8), ("4", 4), (2.5, 2), (-3, 1), (True, 1), (None, 4)])
def test_bits_that_do_not_exist_get_one_sentence_with_the_corrected_call(bits: Any, instead: int) -> None:
    for call in (lambda: Plan.uniform(bits, 4), lambda: Plan.uniform(4, bits), lambda: Spec(bits)):
        with pytest.raises(ValueError) as caught:
            call()
        said = str(caught.value)
        assert said.startswith("bits must be a whole number from 1 to 8, or 32 for float")
        assert repr(bits) in said and said.endswith(f"write bits={instead}") and "\n" not in said


@pytest.mark.parametrize("preset", ["w0a4", "w4a9", "w16a16"])
def test_a_preset_with_bits_that_do_not_exist_is_refused(preset: str) -> None:
    with pytest.raises(ValueError, match="bits must be a whole number from 1 to 8"):
        stillbit.quantize(tiny.vit(depth=1), preset)


@pytest.mark.parametrize("preset", ["w2.5a4", "4", 4, "", None, "a4w4", LayerSpec(Spec(), Spec())])
def test_what_is_no_plan_is_answered_with_the_two_ways_to_write_one(preset: Any) -> None:
    with pytest.raises(ValueError, match=r"write quantize\(model, 'w4a4'\) or quantize\(model, Plan.uniform\(4, 4\)\)"):
        stillbit.quantize(tiny.vit(depth=1), preset)


def test_a_preset_may_be_written_in_capitals() -> None:
    assert Plan.of("W3A2") == Plan.uniform(3, 2)


# ------------------------------------------------------------------------------------------------------ uniform plans


def test_a_uniform_plan_keeps_the_ends_at_8_bits_unless_told_otherwise(sites: list[Site]) -> None:
    found = chosen(Plan.uniform(2, 3), sites)
    assert {found["patch_embed.proj"].weight.bits, found["head"].input.bits} == {8}
    assert (found["blocks.0.mlp.fc1"].weight.bits, found["blocks.0.mlp.fc1"].input.bits) == (2, 3)
    assert found["blocks.0.attn"].key.bits == 3
    assert chosen(Plan.uniform(2, 3, ends=4), sites)["head"].weight.bits == 4
    assert chosen(Plan.uniform(32, 32), sites)["head"].weight.is_float


def test_per_head_scales_fall_back_to_channels_where_there_are_no_heads(sites: list[Site]) -> None:
    found = chosen(Plan.uniform(4, 4, granularity=per_head), sites)
    assert found["blocks.0.attn.qkv"].weight.granularity == per_head
    assert found["blocks.0.mlp.fc1"].weight.granularity == per_channel
    assert found["blocks.0.mlp.fc1"].input.granularity == per_tensor


def test_a_uniform_plan_names_its_quantizers(sites: list[Site]) -> None:
    found = chosen(Plan.uniform(2, 2, weight="statsq", activation="lsq"), sites)
    assert found["blocks.0.mlp.fc1"].weight.quantizer == "statsq"
    with pytest.raises(ValueError, match="unknown quantizer 'statsque': use one of"):
        Plan.uniform(2, 2, weight="statsque")


def test_a_uniform_plan_fits_a_model_without_attention_unless_it_shall_merge() -> None:
    stillbit.quantize(tiny.vision_vgg(), Plan.uniform(4, 4))
    with pytest.raises(ValueError, match="'@attention' matches no attention of this model"):
        stillbit.quantize(tiny.vision_vgg(), Plan.uniform(4, 4, merge=True))


# ------------------------------------------------------------------------------------------------------- as plain data


@pytest.mark.parametrize(
    "plan",
    [
        Plan.uniform(4, 4),
        Plan.uniform(1, 2, weight="statsq", granularity=per_head, merge=True),
        Plan.uniform(3, 3, granularity=per_group(16)).but(Rule("head", None, optional=True), Rule("*.fc1", EIGHT)),
        Plan((Rule("*", Layer(Spec(2, "statsq", options={"reach": "bits"}), Spec(4, range="shifted"))),)),
    ],
)
def test_a_plan_survives_json(plan: Plan) -> None:
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_is_a_value() -> None:
    assert Plan.uniform(4, 4) == Plan.of("w4a4") and hash(Rule("*", FOUR)) == hash(replace(Rule("*", FOUR)))
    with pytest.raises(AttributeError):
        Plan.uniform(4, 4).rules = ()  # type: ignore[misc]


def test_a_plan_is_tuned_where_the_quantizer_serves() -> None:
    plan = Plan.uniform(2, 2, weight="statsq").tuned("statsq", reach="bits")
    chosen = plan.choose(survey(tiny.vit(depth=1)).sites)
    weights = {name: spec.weight for name, spec in chosen.items() if isinstance(spec, Layer)}
    assert weights["blocks.0.mlp.fc1"].options == {"reach": "bits"}
    assert weights["head"].quantizer == "lsq" and not weights["head"].options


def test_an_option_that_the_quantizer_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="no option 'reach'"):
        stillbit.quantize(tiny.vit(depth=1), Plan.uniform(2, 2).tuned("lsq", reach="bits"))


def test_a_preset_is_read_in_any_case() -> None:
    assert preset("W3A8") == (3, 8)
    with pytest.raises(ValueError, match="w4a4"):
        preset("w4")


def test_an_attention_that_is_merged_or_moved_where_it_makes_no_sense_is_refused_where_it_is_written() -> None:
    with pytest.raises(ValueError, match="merged query and key have no statistics of their own: use merge=False or"):
        AttentionSpec.all(Spec(4), merge=True, rectify=True)
    moved = Spec(4, moves=True)
    with pytest.raises(ValueError, match="a probability takes no moves, since one that a mask hides has to stay zero"):
        AttentionSpec(moved, moved, moved, moved)


def test_one_spec_for_all_of_an_attention_moves_what_has_channels() -> None:
    spec = AttentionSpec.all(Spec(4, moves=True))
    assert spec.query.moves and spec.key.moves and spec.value.moves and not spec.probability.moves
    assert AttentionSpec.all(Spec(4)).probability == Spec(4)


def test_a_plan_with_every_word_survives_json() -> None:
    moved = Spec(4, "learned_bits", per_head, moves=True)
    plan = Plan((Rule("@attention", AttentionSpec.all(moved, rectify=True)), Rule("*", LayerSpec(Spec(4), moved))))
    assert Plan.from_dict(json.loads(json.dumps(plan.to_dict()))) == plan


def test_a_plan_written_before_these_words_existed_is_still_read() -> None:
    plan = Plan.uniform(4, 4, merge=True)
    data = json.loads(json.dumps(plan.to_dict()))
    for rule in data["rules"]:
        rule["spec"].pop("rectify", None)
        for spec in rule["spec"].values():
            if isinstance(spec, dict):
                del spec["moves"]
    assert Plan.from_dict(data) == plan


def test_heads_that_learn_their_bits_fall_back_to_a_tensor(sites: list[Site]) -> None:
    plan = Plan.uniform(5, 5, weight="learned_bits", activation="learned_bits", granularity=per_head)
    found = chosen(plan, sites)
    assert found["blocks.0.attn.qkv"].weight.granularity == per_head
    assert found["blocks.0.mlp.fc1"].weight.granularity == per_tensor
