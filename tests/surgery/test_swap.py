"""Float model in, quantized model out, and back; and a call that fails leaves everything as it was."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from timm.layers import Attention, Mlp
from torch import nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_group, per_head, per_token
from stillbit.layers.linear import QuantLinear
from stillbit.layers.walk import quantized, quantizers
from stillbit.surgery.site import Headed, Site
from stillbit.surgery.swap import _layer, record_of
from tests.surgery import tiny

FOUR = LayerSpec(Spec(4, granularity=per_channel), Spec(4))


def picture(model: nn.Module) -> list[Any]:
    """Everything a failed call might have changed."""
    modules = [(name, type(m), id(m), m.training, set(vars(m))) for name, m in model.named_modules()]
    state = [(name, id(t), t._version, t.clone()) for name, t in [*model.named_parameters(), *model.named_buffers()]]
    return [modules, [(n, i, v) for n, i, v, _ in state], torch.cat([t.flatten().double() for *_, t in state]).tolist()]


# ------------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("thing", ["deit_tiny_patch16_224", None, tiny.vit])
def test_what_is_no_model_is_refused_with_the_corrected_call(thing: Any) -> None:
    with pytest.raises(
        ValueError, match=r"the first argument is a model \(nn.Module\), got .*: quantize\(model, 'w4a4'\)"
    ):
        stillbit.quantize(thing, "w4a4")


@pytest.mark.parametrize("inplace", [False, True])
def test_a_model_is_not_quantized_twice(inplace: bool) -> None:
    model = stillbit.quantize(tiny.plain(), "w4a4")
    before = picture(model)
    with pytest.raises(ValueError, match=r"quantized already: call stillbit.dequantize\(model\) first"):
        stillbit.quantize(model, "w4a4", inplace=inplace)
    assert picture(model) == before


def test_a_float_model_has_nothing_to_take_back() -> None:
    with pytest.raises(ValueError, match="this model is not quantized: there is nothing to take back"):
        stillbit.dequantize(tiny.plain())


def test_a_model_stillbit_never_saw_has_no_record() -> None:
    with pytest.raises(ValueError, match=r"call model = stillbit.quantize\(model, 'w4a4'\) first"):
        record_of(tiny.plain())


PROBABILITY = {name: Spec(4) for name in ("query", "key", "value")}
LATE = {
    "a pattern without match at the end": Plan((*Plan.uniform(4, 4).rules, Rule("nowhere", FOUR))),
    "heads where there are none": Plan.uniform(4, 4).but(
        Rule("head", LayerSpec(Spec(4, granularity=per_head), Spec(4)))
    ),
    "groups that do not divide": Plan.uniform(4, 4).but(
        Rule("*.fc2", LayerSpec(Spec(4, granularity=per_group(7)), Spec(4)))
    ),
    "tokens of a weight": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4, granularity=per_token), Spec(4)))),
    "a method that serves no activations": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4), Spec(4, "statsq")))),
    "a method that serves no weights": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4, "pact"), Spec(4)))),
    "an unsigned weight": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4, range="unsigned"), Spec(4)))),
    "an unknown option": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4, options={"speed": 1}), Spec(4)))),
    "one bit of a method that needs two": Plan.uniform(4, 4).but(Rule("head", LayerSpec(Spec(4, "sign"), Spec(4)))),
    "a channel a probability has not": Plan.uniform(4, 4).but(
        Rule("@attention", AttentionSpec(**PROBABILITY, probability=Spec(4, granularity=per_group(5))))
    ),
}


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("why", LATE)
def test_a_plan_that_fails_late_leaves_the_model_as_it_was(why: str, inplace: bool) -> None:
    model = tiny.vit()
    before = picture(model)
    with pytest.raises(ValueError) as caught:
        stillbit.quantize(model, LATE[why], inplace=inplace)
    assert picture(model) == before
    assert "\n" not in str(caught.value)
    assert stillbit.quantize(model, "w4a4", inplace=True) is model, "and the corrected call works"


def test_an_error_names_the_layer_it_is_about() -> None:
    with pytest.raises(ValueError, match=r"^head: per_head needs a layer with attention heads: use per_tensor"):
        stillbit.quantize(tiny.vit(), LATE["heads where there are none"])
    with pytest.raises(ValueError, match=r"^blocks.0.mlp.fc2: groups of 7 do not divide 192 inputs: choose a divisor"):
        stillbit.quantize(tiny.vit(), LATE["groups that do not divide"])


def test_heads_that_do_not_divide_get_one_sentence() -> None:
    site = Site("attn.qkv", nn.Linear(8, 10), ("qkv",), QuantLinear, heads=Headed(3, 0))
    spec = LayerSpec(Spec(4, granularity=per_head), Spec(4))
    with pytest.raises(ValueError, match=r"^attn.qkv: 3 heads do not divide 10 channels: give a number of heads that"):
        _layer(site, {"attn.qkv": spec})


def test_tokens_that_are_not_fixed_cannot_have_a_scale_each() -> None:
    plan = Plan((Rule("*", LayerSpec(Spec(4), Spec(4, granularity=per_token))),))
    with pytest.raises(ValueError, match="per_token needs to know how many tokens there are"):
        stillbit.quantize(nn.Sequential(nn.Linear(2, 2)), plan)
    stillbit.quantize(tiny.vit(), Plan((Rule("@qkv", plan.rules[0].spec),)))
    with pytest.raises(ValueError, match="per_token needs to know how many tokens there are"):
        stillbit.quantize(tiny.vit(dynamic_img_size=True), Plan((Rule("@qkv", plan.rules[0].spec),)))


def test_a_weight_that_is_not_a_number_is_said_to_be_so() -> None:
    model = tiny.vit(depth=1)
    with torch.no_grad():
        model.blocks[0].mlp.fc1.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"blocks\.0\.mlp\.fc1.*NaN or infinity"):
        stillbit.quantize(model, "w4a4")


RECTIFIED = Plan((Rule("@attention", AttentionSpec.all(Spec(4), rectify=True)),))


@pytest.mark.parametrize(
    ("make", "kind"),
    [(tiny.registers, "QuantViTAttention|Attention"), (tiny.swin_v2, "WindowAttention")],
)
def test_query_and_key_that_are_normalised_already_are_not_rectified(make: Any, kind: str) -> None:
    model = make()
    before = picture(model)
    with pytest.raises(ValueError, match=rf"attn: ({kind}) normalises query and key already.*use rectify=False"):
        stillbit.quantize(model, RECTIFIED, inplace=True)
    assert picture(model) == before


def test_rectification_takes_the_type_of_the_model_and_a_number_for_each_head() -> None:
    model = stillbit.quantize(tiny.vit(depth=1).to(torch.bfloat16).eval(), RECTIFIED)
    layer = model.blocks[0].attn.query_rectify
    assert layer.gamma.shape == layer.beta.shape == (3,) and not layer.training
    assert layer.gamma.dtype == layer.beta.dtype == torch.bfloat16


def test_a_pair_of_moves_has_the_channels_of_its_tensor() -> None:
    moved = Spec(4, moves=True)
    plan = Plan((Rule("@attention", AttentionSpec.all(moved)), Rule("*", LayerSpec(Spec(4), moved))))
    model: Any = stillbit.quantize(tiny.vit(depth=1), plan)
    block = model.blocks[0]
    shapes = {
        model.patch_embed.proj.input_quantizer: (3, 1, 1),
        block.attn.qkv.input_quantizer: (48,),
        block.attn.query_quantizer: (3, 1, 16),
        block.attn.value_quantizer: (3, 1, 16),
        block.mlp.fc2.input_quantizer: (192,),
    }
    assert all(tuple(q.before.shape) == tuple(q.after.shape) == shape for q, shape in shapes.items())
    merged: Any = stillbit.quantize(
        tiny.vit(depth=1), Plan((Rule("@attention", AttentionSpec.all(moved, merge=True)),))
    )
    assert merged.blocks[0].attn.query_quantizer.before.shape == (3, 1, 48)


# ---------------------------------------------------------------------------------------------------- single layers


def test_a_single_layer_is_quantized_and_given_back() -> None:
    layer = nn.Linear(8, 4)
    result = stillbit.quantize(layer, "w4a4")
    assert isinstance(result, QuantLinear) and type(layer) is nn.Linear
    assert stillbit.calibrate(result, [torch.randn(3, 8)]).quantizers == 1
    assert type(stillbit.dequantize(result)) is nn.Linear
    before = picture(layer)
    with pytest.raises(ValueError, match=r"cannot be replaced in place: use the result of quantize\(layer, plan\)"):
        stillbit.quantize(layer, "w4a4", inplace=True)
    assert picture(layer) == before


def test_a_single_attention_is_quantized_with_the_layers_inside() -> None:
    result = stillbit.quantize(Attention(24, 3, qkv_bias=True), Plan.uniform(4, 4, ends=4))
    assert {name for name, _ in quantized(result)} == {"", "qkv", "proj"}
    assert not list(quantized(stillbit.dequantize(result)))


def test_a_single_mlp_knows_what_its_activation_makes() -> None:
    result = stillbit.quantize(Mlp(24, 48), Plan.uniform(4, 4, ends=4))
    assert hasattr(result.fc2.input_quantizer, "shift")


# -------------------------------------------------------------------------------------------------- what comes out


def test_weights_and_activations_can_be_quantized_alone() -> None:
    for bits, roles in (((4, 32), {"weight"}), ((32, 4), {"input", "query", "key", "value", "probability"})):
        model = stillbit.quantize(tiny.vit(depth=1), Plan.uniform(*bits, ends=32))
        assert {role for _, role, _ in quantizers(model)} == roles
        stillbit.calibrate(model, [tiny.images()])
        model(tiny.images()).sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_weights_scale_is_found_when_the_model_is_quantized() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w4a4")
    for _, role, quantizer in quantizers(model):
        assert quantizer.is_started() == (role == "weight")


def test_what_was_frozen_stays_frozen() -> None:
    model = tiny.vit(depth=1)
    model.blocks.requires_grad_(False)
    result = stillbit.quantize(model, Plan.uniform(4, 4))
    names = {name for name, p in result.named_parameters() if not p.requires_grad}
    assert names == {name for name, p in model.named_parameters() if not p.requires_grad}
    merged = stillbit.quantize(model, Plan.uniform(4, 4, merge=True))
    assert not merged.blocks[0].attn.qk.weight.requires_grad


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.inside, self.out = nn.Embedding(7, 8), nn.Linear(8, 8), nn.Linear(8, 7, bias=False)
            self.out.weight = self.table.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(self.inside(self.table(x)))

    model = stillbit.quantize(Tied(), "w4a4")
    assert model.out.weight is model.table.weight
    back = stillbit.dequantize(model)
    assert back.out.weight is back.table.weight and back.out.weight is not model.out.weight
    model(torch.arange(7)).sum().backward()
    assert model.table.weight.grad is not None


def test_hooks_of_the_float_model_keep_working() -> None:
    model, calls = tiny.vit(depth=1), []
    model.head.register_forward_hook(lambda *_: calls.append("head"))
    model.blocks[0].attn.register_forward_pre_hook(lambda *_: calls.append("attn"))
    result = stillbit.quantize(model, "w4a4")
    result(tiny.images())
    assert calls == ["attn", "head"]
    result.head.register_forward_hook(lambda *_: calls.append("new"))
    model(tiny.images())
    assert calls == ["attn", "head"] * 2, "a hook on the quantized model is not on the float one"


def test_a_trained_model_goes_back_with_the_weights_it_has_now() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w4a4")
    with torch.no_grad():
        model.head.weight.add_(1.0)
    back = stillbit.dequantize(model)
    assert torch.equal(back.head.weight, model.head.weight)
    assert isinstance(model.head, QuantLinear), "and the quantized one stays as it was"


def test_a_merged_model_goes_back_to_float_and_stays_merged() -> None:
    model = stillbit.quantize(tiny.vit(depth=1).double(), Plan.uniform(4, 4, merge=True))
    back = stillbit.dequantize(model)
    assert not list(quantizers(back))
    assert {"blocks.0.attn.qk.weight", "blocks.0.attn.v.bias"} <= set(back.state_dict())
    with pytest.raises(ValueError, match="merged and stay so: begin with the float model before the merge"):
        stillbit.quantize(back, "w4a4")


def test_an_activation_quantizer_of_ones_own_survives_the_way_back() -> None:
    from stillbit.layers.activation import QuantActivation
    from stillbit.quantizers import LSQ, Grid

    model = stillbit.quantize(nn.Sequential(nn.Linear(4, 4)), "w4a4")
    model.append(QuantActivation(LSQ(Grid(4), (1,))))
    x = torch.randn(2, 4)
    assert torch.equal(stillbit.dequantize(model)(x), model[0].release()(x))


def test_the_record_of_a_model_says_plan_and_floats() -> None:
    plan = Plan.uniform(4, 4).but(Rule("head", None))
    model = stillbit.quantize(tiny.vit(depth=1), plan)
    assert record_of(model).plan == plan
    assert record_of(model).floats == {"head": "the plan says so"}
    assert record_of(deepcopy(model)).plan == plan
    few = stillbit.quantize(tiny.vit(depth=1), Plan((Rule("head", FOUR),)))
    assert record_of(few).floats["blocks.0.attn"] == "no rule speaks of it"


def test_scales_live_in_float32_also_in_a_bfloat16_model() -> None:
    for dtype, wanted in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        model = stillbit.quantize(tiny.vit(depth=1).to(dtype), "w4a4")
        assert {q.scale.dtype for _, _, q in quantizers(model)} == {wanted}
        stillbit.calibrate(model, [tiny.images(dtype=dtype)])
        assert model(tiny.images(dtype=dtype)).dtype == dtype
