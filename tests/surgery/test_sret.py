"""SReT, quantized: every product on codes, roles for its convolutions, both runs through the same quantizers."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import stillbit
from stillbit.layers.walk import quantizers
from stillbit.models.sret import Stem
from stillbit.surgery.sret import claim
from stillbit.surgery.survey import survey
from tests.surgery import tiny

EIGHT = stillbit.LayerSpec(stillbit.Spec(8, granularity=stillbit.per_channel), stillbit.Spec(8))


def named(role: str) -> list[str]:
    return [site.name for site in survey(tiny.sret()).sites if role in site.roles]


def calibrated(plan: Any = "w4a4", **options: Any) -> Any:
    model = stillbit.quantize(timm.create_model("sret_pico", num_classes=10, img_size=32, **options), plan)
    stillbit.calibrate(model, [torch.randn(4, options.get("in_chans", 3), 32, 32)])
    return model.eval()


def test_every_product_of_sret_tiny_runs_on_codes() -> None:
    with torch.device("meta"):
        said = stillbit.summary(stillbit.quantize(timm.create_model("sret_tiny"), "w4a4"))
    assert said.macs_on_codes == said.macs == pytest.approx(1.1e9, rel=0.05)
    assert not [row for row in said.rows if row.note.startswith("float")]


def test_the_convolutions_of_stem_and_pooling_have_roles() -> None:
    assert named("stem") == [f"patch_embed.{i}.conv" for i in range(3)]
    assert named("pool") == ["stages.1.pool", "stages.2.pool"]
    assert (named("first"), named("last")) == (["patch_embed.0.conv"], ["head.fc"])


def test_what_the_stem_passes_on_has_no_sign() -> None:
    ranges = {site.name: site.range for site in survey(tiny.sret()).sites}
    assert [ranges[name] for name in named("stem")] == ["signed", "unsigned", "unsigned"]
    assert {ranges[name] for name in named("pool")} == {"signed"}


def test_nothing_else_is_claimed() -> None:
    assert not claim("stages.0", tiny.sret().stages[0], nn.Identity())
    assert not claim("conv", nn.Conv2d(2, 2, 1), nn.Identity())
    assert len(claim("", Stem((32, 32), 3, 16), nn.Identity())) == 3


def test_a_plan_keeps_stem_and_pooling_at_8_bits_as_vvtq_does() -> None:
    plan = stillbit.Plan.uniform(4, 4).but(stillbit.Rule("@stem", EIGHT), stillbit.Rule("@pool", EIGHT))
    bits = {name: q.grid.bits for name, role, q in quantizers(stillbit.quantize(tiny.sret(), plan)) if role == "weight"}
    eight = {name for name, width in bits.items() if width == 8}
    assert eight == {*named("stem"), *named("pool"), "head.fc"}


def test_scales_a_head_work() -> None:
    model = stillbit.quantize(tiny.sret(), stillbit.Plan.uniform(4, 4, granularity=stillbit.per_head))
    block: Any = model.stages[2].blocks[0]
    assert block.attn.qkv.weight_quantizer.scale.shape == (12, 1)
    assert block.attn.proj.weight_quantizer.scale.shape == (1, 4)


def test_the_inputs_of_both_runs_decide_the_scale() -> None:
    float_model = tiny.sret()
    with torch.no_grad():  # the second run sees far larger numbers
        float_model.stages[0].blocks[0].first.residual.keep.fill_(50.0)
        float_model.stages[0].blocks[0].norm1 = nn.Identity()
    model = stillbit.quantize(float_model, "w8a8")
    seen: list[float] = []
    qkv: Any = model.stages[0].blocks[0].attn.qkv
    qkv.register_forward_pre_hook(lambda module, args: seen.append(args[0].abs().max().item()))
    stillbit.calibrate(model, [tiny.images()], rule="minmax")
    assert len(seen) == 2 and seen[1] > 10 * seen[0]
    assert qkv.input_quantizer.scale.item() * 127 == pytest.approx(seen[1], rel=0.02)


def each_run(*, merge: bool = False) -> stillbit.Plan:
    weight, activation = stillbit.Spec(4, granularity=stillbit.per_channel), stillbit.Spec(4, each_run=True)
    inside = stillbit.Rule("@attention", stillbit.AttentionSpec.all(activation, merge=merge))
    return stillbit.Plan.uniform(4, 4).but(stillbit.Rule("stages.*", stillbit.LayerSpec(weight, activation)), inside)


def test_each_run_can_have_scales_of_its_own() -> None:
    float_model = tiny.sret()
    with torch.no_grad():
        float_model.stages[0].blocks[0].first.residual.keep.fill_(50.0)
        float_model.stages[0].blocks[0].norm1 = nn.Identity()
    model = stillbit.quantize(float_model, each_run())
    stillbit.calibrate(model, [tiny.images()], rule="minmax")
    first, second = model.stages[0].blocks[0].attn.qkv.input_quantizer.parts()
    assert second.scale.item() > 10 * first.scale.item()
    shared = {f"attn.{part}" for part in ("query", "key", "value", "probability", "qkv", "proj")} | {
        "mlp.fc1",
        "mlp.fc2",
    }
    names = [name.split(".runs")[0] for name in model.state_dict() if name.endswith("runs.1.scale")]
    assert len(names) == 4 * len(shared), "4 blocks, 8 shared activations in each, and nothing else"
    said = stillbit.summary(model)
    assert said.calibrated and said.macs_on_codes == said.macs
    assert "input 4 LSQ/1 a run" in str(said)


def test_scales_of_runs_are_trained_copied_saved_and_given_back(tmp_path: Path) -> None:
    model = calibrated(each_run())
    x = tiny.images()
    model(x).square().sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    expected = model(x)
    assert torch.equal(deepcopy(model)(x), expected)
    loaded = stillbit.load(stillbit.save(model, tmp_path / "sret.safetensors"))
    assert torch.equal(loaded(x), expected)
    assert not [name for name in stillbit.dequantize(model).state_dict() if "quantizer" in name]


def test_checkpointing_of_activations_knows_the_run() -> None:
    model = calibrated(each_run()).train()
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(tiny.images()).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_merged_attention_has_scales_for_each_run_too() -> None:
    model = stillbit.quantize(tiny.sret(), each_run(merge=True))
    stillbit.calibrate(model, [tiny.images()])
    attention: Any = model.stages[0].blocks[0].attn
    assert len(attention.qk.input_quantizer.parts()) == len(attention.query_quantizer.parts()) == 2
    assert model(tiny.images()).shape == (2, 10)


@pytest.mark.parametrize("options", [{}, {"in_chans": 1}, {"drop_path_rate": 0.1}])
def test_a_file_needs_no_model_beside_it(options: dict[str, Any], tmp_path: Path) -> None:
    model = calibrated(**options)
    x = torch.randn(2, options.get("in_chans", 3), 32, 32)
    loaded = stillbit.load(stillbit.save(model, tmp_path / "sret.safetensors"))
    assert torch.equal(loaded(x), model(x))


def test_at_32_bits_nothing_changes_and_back_is_back() -> None:
    model = timm.create_model("sret_pico", num_classes=10, img_size=32).eval()
    x = tiny.images()
    assert torch.equal(stillbit.quantize(model, "w32a32")(x), model(x))
    assert torch.equal(stillbit.dequantize(stillbit.quantize(model, "w4a4"))(x), model(x))


@pytest.mark.slow
# Torch hides this warning of its own, which cannot work where warnings are errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
@pytest.mark.parametrize("plan", ["w8a8", each_run()])
def test_its_blocks_can_be_compiled_and_train_as_before(plan: Any) -> None:
    model = calibrated(plan).double().train()
    x = tiny.images(dtype=torch.float64)
    gradients = []
    for compiled in (False, True):
        if compiled:
            stillbit.compile_blocks(model, backend="aot_eager")
        model.zero_grad()
        model(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters()])
    torch.testing.assert_close(gradients[1], gradients[0])
