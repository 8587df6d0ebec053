"""The record, and whether it finds what was planted."""

from __future__ import annotations

from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest
import torch
from torch import nn

from stillbit import quantize
from stillbit.analysis.record import from_json, to_json
from stillbit.analysis.sensitivity import Sensitivity, compute
from stillbit.train.settings import OptimSettings
from tests.analysis.lowered import asked, batch, vit
from tests.contracts.test_families import float_model
from tests.surgery import tiny


def found_in(model: nn.Module, **settings: Any) -> Sensitivity:
    return compute(model, [batch(24)], asked(**settings))


@pytest.fixture(scope="module")
def plain() -> Sensitivity:
    torch.manual_seed(0)
    return found_in(vit(), by=("role", "block", "layer", "head"))


def test_it_comes_back_from_json_as_it_was(plain: Sensitivity) -> None:
    assert from_json(Sensitivity, to_json(plain), "here") == plain


def test_the_record_says_what_was_asked_and_of_what(plain: Sensitivity) -> None:
    assert (plain.question, plain.low, plain.high, plain.steps) == ("lower", "w2a2", "w8a8", 0)
    assert (plain.images, plain.outputs, plain.calibration_images, plain.source) == (24, 5, 24, "here")
    assert {by: len(plain.of(by)) for by in ("role", "block", "layer", "head")} == {  # type: ignore[arg-type]
        "role": 11,
        "block": 2,
        "layer": 12,
        "head": 6,
    }
    assert plain.reference.kl == 0 and 0 < plain.base.kl < min(group.scores.kl for group in plain.groups)


def planted(block: int, head: int) -> nn.Module:
    """Two bits are enough for every head but one: all weights are plus or minus one number, but for its values."""
    model = vit()
    with torch.no_grad():
        for other in model.blocks:
            for layer in (other.attn.qkv, other.attn.proj):
                layer.weight.copy_(layer.weight.sign() * 0.2)
        rows = model.blocks[block].attn.qkv.weight[24 * 2 + 8 * head : 24 * 2 + 8 * head + 8]
        rows.mul_(torch.linspace(0.1, 4.0, 24))
    return model


@pytest.mark.parametrize(("block", "head"), [(0, 1), (1, 0), (1, 2)])
def test_the_one_head_that_two_bits_break_is_the_first_of_all_heads(block: int, head: int) -> None:
    found = found_in(planted(block, head), by=("head",), bits="w2a32")
    worst, *others = found.of("head")
    assert (worst.layer, worst.head) == (f"blocks.{block}.attn", head)
    assert worst.scores.kl > 10 * max(other.scores.kl for other in others)
    assert found.tables()[0].rows[0][0] == f"blocks.{block}.attn {head}"
    assert max(found.groups, key=lambda group: group.proxy) == worst, "the gradient knows it too"


def test_kept_float_the_same_head_helps_most() -> None:
    found = found_in(planted(1, 2), by=("head",), bits="w2a32", question="keep")
    best, *others = found.of("head")
    assert (best.layer, best.head) == ("blocks.1.attn", 2)
    assert all(best.scores.kl < other.scores.kl for other in others)


def test_the_first_rows_of_a_table_are_the_worst(plain: Sensitivity) -> None:
    roles = plain.tables()[0]
    divergences = [row[5] for row in roles.rows]
    assert divergences == sorted(divergences, reverse=True) and roles.title == "lowered, by role"
    assert "only the group has w2a2, the rest has w8a8; from calibration alone; 24 images" in roles.note
    kept = replace(plain, question="keep").tables()[0]
    divergences = [row[5] for row in kept.rows]
    assert divergences == sorted(divergences) and "the group stays float" in kept.note


def test_how_the_proxy_ranks_is_told_a_kind_of_group_at_a_time(plain: Sensitivity) -> None:
    held = {agreement.by: agreement for agreement in plain.agreements}
    assert held["head"].groups == 6 and held["layer"].with_kl is not None and -1 <= held["layer"].with_kl <= 1
    assert held["block"].with_kl is None, "two have no order to speak of"
    scores = [(group.proxy, group.scores.kl) for group in plain.of("layer")]
    ranks = [sorted(column).index(value) for column in zip(*scores, strict=True) for value in column]
    first, second = torch.tensor(ranks, dtype=torch.float64).reshape(2, -1)
    assert held["layer"].with_kl == pytest.approx(torch.corrcoef(torch.stack([first, second]))[0, 1].item())
    assert plain.tables()[-1].rows[0][0] == "role"


@pytest.mark.parametrize("name", ["swin", "swin_v2", "eva", "sret", "mixer", "timm_resnet", "vision_vgg"])
def test_every_family_has_a_sensitivity(name: str) -> None:
    given = batch(6, 32)._replace(images=tiny.images(6))
    model = float_model(name).eval()
    found = compute(model, [given], asked(by=("role", "layer"), bits="w3a3"))
    assert found.of("layer") and all(group.scores.loss > 0 for group in found.groups)


def test_a_plain_module_of_linears_has_layers() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 256, 16), nn.ReLU(), nn.Linear(16, 16), nn.Linear(16, 5))
    found = found_in(model, by=("role", "layer"))
    assert [group.name for group in found.groups] == ["all", "first", "last", "1", "3", "4"]


def test_the_model_is_left_as_it_is_and_so_is_the_global_generator() -> None:
    model = vit().train()
    model.blocks[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    learns = [parameter.requires_grad for parameter in model.parameters()]
    state = torch.get_rng_state()
    found_in(model, by=("head",))
    assert model.training and learns == [parameter.requires_grad for parameter in model.parameters()]
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_with_training_every_group_learns_before_it_is_measured() -> None:
    trained = asked(by=("block",), bits="w2a2", question="keep", steps=8, optim=OptimSettings(lr=3e-3))
    found = compute(vit(), [batch(24)], trained, lambda: repeat(batch(24)))
    plain = found_in(vit(), by=("block",), question="keep")
    assert found.steps == 8 and "8 steps of training each" in found.tables()[0].note
    assert found.base.loss < plain.base.loss
    assert all(a.scores.loss < b.scores.loss for a, b in zip(found.groups, plain.groups, strict=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda m: m.blocks[0].attn.qkv.weight.data.fill_(float("nan")), "the weights of run are broken, blocks.0.att"),
        (lambda m: quantize(m, "w4a4", inplace=True), "this model is quantized already"),
    ],
)
def test_models_that_cannot_be_asked_are_one_sentence(change: Any, sentence: str) -> None:
    model = vit()
    change(model)
    with pytest.raises(ValueError, match=sentence) as caught:
        found_in(model)
    assert "\n" not in str(caught.value)
