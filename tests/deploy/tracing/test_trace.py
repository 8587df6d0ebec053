"""A program computes what training simulated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

import stillbit
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small
from tests.deploy.parity import parity


def operations(program: Any) -> list[str]:
    return [step.op for step in program.steps]


def agrees(model: Any, x: torch.Tensor) -> Any:
    """The program of a model, whose logits are those of the model."""
    program = trace(model, x[:2])
    with torch.no_grad():
        want = model(x).numpy()
    assert np.abs(reference.run(program, x.numpy()) - want).max() <= 1e-5 * np.abs(want).max()
    return program


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        ("lsq", "w2a2"),
        pytest.param(*("lsq", "w8a8"), marks=pytest.mark.slow),
        pytest.param(*("lsq_plus", "w3a3"), marks=pytest.mark.slow),
        ("statsq", "w4a4"),
        pytest.param(*("pact", "w4a4"), marks=pytest.mark.slow),
        pytest.param(*("dorefa", "w1a1"), marks=pytest.mark.slow),
        pytest.param(*("vvtq", "w2a2"), marks=pytest.mark.slow),
        ("ofq", "w2a2"),
        pytest.param(*("qvit", "w3a3"), marks=pytest.mark.slow),
        ("qvit_mixed", "w5a5"),
    ],
)
def test_every_quantizer_is_traced_and_every_product_runs_on_codes(method: str, bits: str) -> None:
    x = small.images()
    program = agrees(small.trained(small.vit(), method, bits, x), x)
    done = operations(program)
    assert "conv" not in done and done.count("convolution") == 1
    assert done.count("product") >= 7  # four linears, two inside of attention, the classifier
    assert ("matmul" in done) == (method == "ofq")  # what learned shifts add to the product of queries and keys


def test_weights_are_codes_of_their_true_width() -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), "lsq", "w3a4", x), x[:2])
    widths = [held.grid.bits for held in program.constants.values() if held.grid is not None]
    assert sorted(widths) == [3, 3, 3, 3, 8, 8]
    for held in program.constants.values():
        if held.grid is not None:
            assert held.array.min() >= held.grid.low and held.array.max() <= held.grid.high


def test_a_grid_without_a_zero_is_codes_and_an_offset() -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), "statsq", "w2a2", x), x[:2])
    offsets = [step.settings["offsets"] for step in program.steps if step.op == "product"]
    assert [0.0, 0.5] in offsets and [0.0, 0.0] in offsets


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("test_vit", 160),
        ("test_resnet", 160),
        ("deit_tiny_distilled_patch16_224", 224),
        ("swin_tiny_patch4_window7_224", 224),
        ("swinv2_cr_tiny_ns_224", 224),
        ("resnet18", 64),
        ("sret_tiny", 64),
    ],
)
@pytest.mark.parametrize(("method", "bits"), [("vvtq", "w2a2"), ("statsq", "w4a4")])
def test_families_need_no_line_of_their_own(name: str, size: int, method: str, bits: str) -> None:
    if "resnet" in name and method == "vvtq":
        method = "lsq"
    kwargs = {"img_size": size} if name == "sret_tiny" else {}
    x = small.images(2, size)
    agrees(small.trained(timm.create_model(name, num_classes=10, **kwargs), method, bits, x), x)


OTHERS = {
    **dict.fromkeys(("cait_xxs24_224", "levit_128s", "xcit_tiny_12_p16_224", "pit_ti_224", "eva02_tiny_patch14_224")),
    **dict.fromkeys(("resmlp_12_224", "regnety_002", "efficientnet_b0", "convnext_tiny", "poolformer_s12")),
    **dict.fromkeys(("mobilevit_xs", "coatnet_0_rw_224", "pvt_v2_b0", "twins_svt_small", "convit_tiny")),
    **dict.fromkeys(("caformer_s18", "mvitv2_tiny", "hiera_tiny_224", "tiny_vit_5m_224", "focalnet_tiny_srf")),
    "volo_d1_224": "network.0.0.attn.unfold computes aten.im2col.default",
    "sequencer2d_s": "stages.0.blocks.0.rnn_tokens.rnn_v computes aten.mkldnn_rnn_layer.default",
}
"""Families of docs/coverage.md that nobody thought of when tracing was written, and what of them has no step yet."""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "said"), OTHERS.items())
def test_other_families_are_traced_or_refused_in_a_sentence(name: str, said: str | None) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10)
    x = small.images(2, model.pretrained_cfg["input_size"][-1])
    quantized = stillbit.quantize(model, "w4a4")
    stillbit.calibrate(quantized, [x])
    if said is not None:
        with pytest.raises(ValueError, match=said):
            trace(quantized.eval(), x)
        return
    found = parity(quantized.eval(), trace(quantized, x), x)
    assert not found.wrong and not found.unheard and found.ties <= 1e-5 * found.codes


def test_the_model_stays_as_it_was() -> None:
    x = small.images()
    model = small.trained(small.vit(), "vvtq", "w2a2", x).train()
    before = {name: held.clone() for name, held in model.state_dict().items()}
    trace(model, x[:2])
    assert model.training
    assert all(torch.equal(before[name], held) for name, held in model.state_dict().items())


def test_any_batch_runs_though_two_images_were_traced() -> None:
    x = small.images(7)
    model = small.trained(small.vit(), "lsq", "w2a2", x)
    program = trace(model, x[:2])
    whole = reference.run(program, x.numpy())
    apart = np.concatenate([reference.run(program, x[i : i + 1].numpy()) for i in range(7)])
    np.testing.assert_allclose(whole, apart, rtol=0, atol=1e-6)


def test_one_image_is_enough_and_the_size_of_the_example_says_nothing() -> None:
    x = small.images(3)
    model = small.trained(small.vit(), "lsq", "w2a2", x)
    one, three = trace(model, x[:1]), trace(model, x)
    assert one.steps == three.steps and one.shape == (-1, 3, 16, 16)


def test_weights_alone_on_a_grid_stay_codes() -> None:
    x = small.images()
    model = stillbit.quantize(small.vit(), "w4a32")
    stillbit.calibrate(model, [x])
    program = agrees(model.eval(), x)
    assert [held.grid.bits for held in program.constants.values() if held.grid is not None] == [8, 4, 4, 4, 4, 8]
    assert operations(program).count("level") == 4  # the ends have inputs on grids


def test_a_float_model_is_a_program_of_floats() -> None:
    x = small.images()
    assert not {"quantize", "level", "product", "convolution"} & set(operations(agrees(small.vit().eval(), x)))


def test_training_mode_hooks_and_compiled_blocks_are_left_as_they_were() -> None:
    x = small.images()
    model = small.trained(small.vit(depth=2), "lsq", "w2a2", x).train()
    model.blocks[0].eval()
    model.blocks[1].compile()
    training = [module.training for module in model.modules()]
    program = trace(model, x)
    assert [module.training for module in model.modules()] == training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert {step.layer for step in program.steps} >= {"blocks.0.attn.qkv", "blocks.1.attn.qkv"}


@pytest.mark.parametrize(
    ("model", "example", "said"),
    [
        (small.vit().bfloat16(), small.images(), "the model is in bfloat16, and what is deployed is float32"),
        (small.vit().to("meta"), small.images(), "the model has no numbers, it is on the meta device"),
        (small.vit(), small.images(2, 12), r"the model does not run on an example of \(3, 12, 12\): Input height"),
        (small.vit(), small.images().to(torch.complex64), "an example is a batch of floats"),
        (small.vit(), small.images()[:0], "an example is a batch of floats"),
        (small.vit(), "image.png", "an example is a batch of floats, .* and this one is str"),
    ],
)
def test_what_cannot_be_traced_is_one_sentence(model: nn.Module, example: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        trace(model, example)
    assert "\n" not in str(caught.value)


def test_an_operation_that_no_program_has_is_named_with_its_layer() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erfinv(x)

    model = nn.Sequential(nn.Linear(4, 4), Odd())
    quantized = stillbit.quantize(model, "w4a4")
    stillbit.calibrate(quantized, [torch.randn(8, 4)])
    with pytest.raises(ValueError, match=r"1 computes aten\.erfinv\.default, which stillbit cannot deploy yet"):
        trace(quantized, torch.randn(2, 4))
