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
from stillbit.deploy.trace import trace
from tests.deploy import small


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


def test_an_operation_that_no_program_has_is_named_with_its_layer() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.erfinv(x)

    model = nn.Sequential(nn.Linear(4, 4), Odd())
    quantized = stillbit.quantize(model, "w4a4")
    stillbit.calibrate(quantized, [torch.randn(8, 4)])
    with pytest.raises(ValueError, match=r"1 computes aten\.erfinv\.default, which stillbit cannot deploy yet"):
        trace(quantized, torch.randn(2, 4))
