"""What every word of a plan promises in the models it is for: moves, scales of tokens, rectify, learned bits, merge."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_head, per_token
from stillbit.layers import product
from stillbit.layers.walk import quantized, quantizers
from stillbit.surgery.swap import record_of
from tests.surgery import tiny

MOVED = Spec(3, moves=True)
TOKEN = Spec(3, granularity=per_token, moves=True)
VALUE = Spec(3, granularity=per_channel, moves=True)  # a scale a token would vary along what is summed
LEARNED, HEADED = (Spec(3, "learned_bits", granularity=g) for g in (Spec().granularity, per_head))
MOVED_BITS, MOVED_HEADS = (Spec(3, "learned_bits", g, moves=True) for g in (Spec().granularity, per_head))


def plan_of(attention: AttentionSpec, weight: Spec, activation: Spec, proj: Spec | None = None) -> Plan:
    """The words everywhere, also in the first layer, unless its input has no fixed tokens."""
    heads, ends = Spec(weight.bits, weight.quantizer, per_head), LayerSpec(Spec(8), Spec(8))
    first = (Rule("@first", ends),) if activation.granularity == per_token else ()
    return Plan.uniform(4, 4).but(
        *first,
        Rule("@last", ends),
        Rule("@attention", attention, optional=True),
        Rule("@proj", LayerSpec(heads, proj or activation), optional=True),
        Rule("@qkv", LayerSpec(heads, activation), optional=True),
        Rule("*", LayerSpec(weight, activation)),
    )


STATS = Spec(3, "statsq", per_channel)
WORDS = {
    "moves": plan_of(AttentionSpec.all(MOVED), STATS, MOVED),
    "moves-merged": plan_of(AttentionSpec.all(MOVED, merge=True), STATS, MOVED),
    "tokens": plan_of(AttentionSpec(TOKEN, TOKEN, VALUE, replace(TOKEN, moves=False)), STATS, TOKEN),
    "rectify": plan_of(AttentionSpec.all(Spec(3), rectify=True), Spec(3), Spec(3)),
    "learned_bits": plan_of(AttentionSpec.all(HEADED), LEARNED, LEARNED, proj=HEADED),
    "learned_bits-each_run": plan_of(AttentionSpec.all(HEADED), LEARNED, Spec(3, "learned_bits", each_run=True)),
    "all": plan_of(AttentionSpec.all(MOVED_HEADS, rectify=True), LEARNED, MOVED_BITS, proj=MOVED_HEADS),
}
PAIRS = [
    *(("moves", family) for family in ("vit", "swin", "eva", "timm_resnet")),
    *(("moves-merged", family) for family in ("deit", "swin")),
    *(("tokens", family) for family in ("vit", "deit")),
    *(("rectify", family) for family in ("vit", "swin", "beit")),
    *(("learned_bits", family) for family in ("vit", "swin", "timm_resnet")),
    ("learned_bits-each_run", "sret"),
    *(("all", family) for family in ("vit", "swin")),
]
every_pair = pytest.mark.parametrize(("word", "family"), PAIRS)


def float_model(family: str) -> nn.Module:
    torch.manual_seed(3)
    model = tiny.FAMILIES[family]()
    with torch.no_grad():  # timm starts biases and tokens at zero, where sums of codes can be exactly zero too
        for name, parameter in model.named_parameters():
            if parameter.dim() < 2 or "token" in name:
                parameter.add_(torch.randn(parameter.shape) * 0.1)
    return model


@lru_cache
def _trained(word: str, family: str) -> nn.Module:
    """Calibrated, and moved by a step, so that no state is where it began."""
    model = stillbit.quantize(float_model(family).double(), WORDS[word])
    stillbit.calibrate(model, [tiny.images(4, torch.float64)], "mean_magnitude")
    output(model).square().sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            assert parameter.grad is not None
            parameter -= 0.01 * parameter.grad.sign() * parameter.abs().mean().clamp_min(0.01)
            parameter.grad = None
    return model


def trained(word: str, family: str, dtype: torch.dtype = torch.float32) -> Any:
    model = deepcopy(_trained(word, family))
    return model if dtype == torch.float64 else model.float().to(dtype)


def output(model: nn.Module) -> Tensor:
    dtype = next(model.parameters()).dtype
    y = model(tiny.images(2, dtype))
    return torch.cat(y) if isinstance(y, tuple) else y


def gradients(model: nn.Module) -> dict[str, Tensor]:
    model.zero_grad()
    y = output(model)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters()}
    assert all(grad is not None for grad in found.values())
    return {name: grad.clone() for name, grad in found.items() if grad is not None}


@every_pair
def test_every_parameter_gets_a_finite_gradient(word: str, family: str) -> None:
    found = gradients(trained(word, family).train())
    assert all(grad.isfinite().all() for grad in found.values())
    for word_of in ("before", "after", "gamma", "beta", "bits"):  # bits have none where nothing is clipped
        of_word = [bool((grad != 0).any()) for name, grad in found.items() if name.endswith(f".{word_of}")]
        assert sum(of_word) >= 0.5 * len(of_word), word_of


@every_pair
def test_products_on_codes_are_the_products_of_the_values(
    word: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = trained(word, family, torch.float64).eval()
    on_codes = (output(model).detach(), gradients(model))
    monkeypatch.setattr(product, "_summed_blocks", lambda a, b: None)  # which multiplies values
    values = (output(model).detach(), gradients(model))
    torch.testing.assert_close(on_codes[0], values[0], rtol=1e-9, atol=1e-9)
    largest = max(grad.abs().max().item() for grad in values[1].values())
    for name, grad in values[1].items():
        torch.testing.assert_close(on_codes[1][name], grad, rtol=1e-7, atol=1e-9 * largest, msg=name)


@every_pair
def test_every_multiplication_of_blocks_runs_on_codes(word: str, family: str) -> None:
    said = stillbit.summary(trained(word, family), tiny.images(1))
    assert said.macs is not None and said.macs_on_codes == said.macs
    assert said.calibrated


@every_pair
def test_what_is_saved_is_loaded_to_the_bit(word: str, family: str, tmp_path: Path) -> None:
    model = trained(word, family).eval()
    path = stillbit.save(model, tmp_path / "model.safetensors")
    loaded = stillbit.load(path, float_model(family)).eval()
    ours, theirs = loaded.state_dict(), model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(output(loaded), output(model))
    assert repr(loaded) == repr(model) and record_of(loaded) == record_of(model)


@every_pair
def test_a_model_without_numbers_has_the_same_state(word: str, family: str) -> None:
    with torch.device("meta"):
        ghost = stillbit.quantize(tiny.FAMILIES[family](), WORDS[word])
    assert all(t.is_meta for t in (*ghost.parameters(), *ghost.buffers()))
    shapes = {name: (tuple(t.shape), t.dtype) for name, t in ghost.state_dict().items()}
    assert shapes == {name: (tuple(t.shape), t.dtype) for name, t in trained(word, family).state_dict().items()}
    assert repr(ghost)


@every_pair
def test_a_deep_copy_is_a_model_of_its_own(word: str, family: str) -> None:
    model = trained(word, family).eval()
    twin, expected = deepcopy(model), output(model)
    assert torch.equal(output(twin), expected)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.mul_(1.5)
    assert torch.equal(output(model), expected)


@pytest.mark.parametrize(("word", "family"), [pair for pair in PAIRS if "merged" not in pair[0]])
def test_dequantize_gives_the_float_model_back_with_its_weights(word: str, family: str) -> None:
    model, original = trained(word, family), float_model(family)
    back = stillbit.dequantize(model)
    assert [type(m) for m in back.modules()] == [type(m) for m in original.modules()]
    assert back.state_dict().keys() == original.state_dict().keys()
    ours, theirs = back.state_dict(), model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("whole", [False, True], ids=["autocast", "whole"])
@every_pair
def test_it_trains_in_bfloat16_and_scales_stay_in_float32(word: str, family: str, whole: bool) -> None:
    model = trained(word, family, torch.bfloat16 if whole else torch.float32).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=not whole):
        y = output(model)
    y.float().sum().backward()
    assert y.dtype == torch.bfloat16 and y.isfinite().all()
    held = {id(p) for _, layer in quantized(model) for q in layer.quantizers().values() for p in q.parameters()}
    assert all(p.dtype == torch.float32 for p in model.parameters() if id(p) in held or not whole)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize(("word", "family"), [("all", "vit"), ("moves-merged", "deit"), ("tokens", "vit")])
def test_a_compiled_step_equals_eager(word: str, family: str) -> None:
    torch._dynamo.reset()
    model = trained(word, family, torch.float64).train()
    results = []
    for run in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        y = run(tiny.images(2, torch.float64))
        y = torch.cat(y) if isinstance(y, tuple) else y
        y.square().sum().backward()
        results.append([y.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(results[0]) == len(results[1])
    for eager, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, eager, rtol=1e-9, atol=1e-9)


def test_calibration_starts_every_quantizer_of_every_word() -> None:
    for word, family in PAIRS:
        assert all(q.is_started() for _, r, q in quantizers(_trained(word, family)) if r != "weight"), (word, family)
