"""The training model's own codes, and every family's against its program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from stillbit.deploy.tracing.record import codes_of, evaluating, naming
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small
from tests.deploy.parity import parity

QUICK = {("vit", "vvtq", "w8a8"), ("deit", "ofq", "w2a2"), ("swin", "ofq", "w2a2"), ("sret", "vvtq", "w3a3")}
QUICK |= {("swin_v2", "vvtq", "w2a2"), ("resnet", "lsq", "w2a2"), ("vit", "dorefa", "w1a1")}
GRID = [(method, bits) for method in ("vvtq", "ofq") for bits in ("w8a8", "w4a4", "w3a3", "w2a2")]
GRID += [("ofq", "w1a1"), ("dorefa", "w1a1"), ("statsq", "w1a2"), ("lsq", "w2a2"), ("lsq_plus", "w4a4")]
GRID += [("pact", "w4a4"), ("qvit_mixed", "w4a4")]
CASES = [
    pytest.param(name, method, bits, marks=[] if (name, method, bits) in QUICK else pytest.mark.slow)
    for name in small.FAMILIES
    for method, bits in GRID
]


@pytest.mark.parametrize(("name", "method", "bits"), CASES)
def test_a_program_has_the_codes_of_the_training_model(name: str, method: str, bits: str) -> None:
    model, x = small.family(name, method, bits), small.images(4, 32)
    found = parity(model, trace(model, x[:2]), x)
    assert not found.wrong and not found.unheard
    assert found.codes > 10_000 and found.ties <= 1e-4 * found.codes
    assert found.logits <= 1e-6


def test_every_rounding_is_heard_whatever_became_of_its_step() -> None:
    x = small.images()
    model = small.trained(small.vit(), "ofq", "w2a2", x)
    program = trace(model, x)
    heard = codes_of(model, x, program)
    names = [name for name, _ in heard]
    asked = {step.output for step in program.steps if step.op == "quantize"}
    assert set(names) == asked and len(names) > len(asked)  # the tokens are quantized for query, key and value
    assert any(each.moves for each in program.roundings)  # the value is quantized where it is not turned
    assert all(codes.dtype == np.int16 and -128 <= codes.min() <= codes.max() <= 127 for _, codes in heard)


def test_the_model_and_the_program_must_be_of_one_kind() -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), "lsq", "w2a2", x), x)
    other = small.trained(small.vit(depth=2), "lsq", "w2a2", x)
    with pytest.raises(ValueError, match=r"the model rounds .* times and the program was traced where it rounds"):
        codes_of(other, x, program)


def test_every_module_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(), nn.Linear(3, 3))
    model[0].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
        assert torch.is_inference_mode_enabled()
    assert [module.training for module in model.modules()] == [True, False, True, True]


def test_layers_are_named_while_they_run_even_after_one_failed() -> None:
    names: list[str] = []

    class Says(nn.Module):
        def forward(self, x: Any) -> Any:
            names.append(layer())
            return 1 / x

    model = nn.Sequential(nn.Sequential(Says()), Says())
    with naming(model) as layer:
        with pytest.raises(ZeroDivisionError):
            model(0)
        assert layer() == ""
        model(1)
    model(1)
    assert names == ["0.0", "0.0", "1", "", ""]
