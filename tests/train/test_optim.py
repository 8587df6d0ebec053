"""Who is in which group, by hand; and what is said about an optimizer that there is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import timm
import torch
from torch import nn

import stillbit
from stillbit.layers.walk import scale_names
from stillbit.train.optim import build, groups
from stillbit.train.settings import OptimSettings
from tests.surgery import tiny as families
from tests.train import tiny


@pytest.fixture(scope="module")
def quantized() -> Any:
    """With a class token, a position embedding, norms, biases, and scales of several shapes."""
    model = stillbit.quantize(families.vit(depth=1), "w2a2")
    stillbit.calibrate(model, [families.images()])
    return model


def names_of(model: nn.Module, found: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    names = {id(p): name for name, p in model.named_parameters()}
    return {group["name"]: [names[id(p)] for p in group["params"]] for group in found}


def test_scales_biases_and_weights_are_apart_and_nothing_is_twice_or_missing(quantized: Any) -> None:
    named = names_of(quantized, groups(quantized, OptimSettings(), scale_names(quantized)))
    inner = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    weights = ["patch_embed.proj", *(f"blocks.0.{name}" for name in inner), "head"]
    assert sorted(named["weights"]) == sorted(f"{name}.weight" for name in weights)
    norms = [f"{name}.{part}" for name in ("blocks.0.norm1", "blocks.0.norm2", "norm") for part in ("weight", "bias")]
    plain = ["cls_token", "pos_embed", *(f"{name}.bias" for name in weights), *norms]
    assert sorted(named["plain"]) == sorted(plain)
    assert all("_quantizer." in name or "quantizers." in name for name in named["scales"])
    assert any(p.ndim > 1 for n, p in quantized.named_parameters() if n in named["scales"]), "scales of channels too"
    together = [name for group in named.values() for name in group]
    assert sorted(together) == sorted(name for name, _ in quantized.named_parameters())


def test_only_weights_decay_and_scales_may_have_their_own_learning_rate(quantized: Any) -> None:
    settings = OptimSettings(lr=1e-3, weight_decay=0.05, scale_lr=1e-4)
    weights, plain, scales = build(quantized, settings, scale_names(quantized)).param_groups
    assert (weights["lr"], plain["lr"], scales["lr"]) == (1e-3, 1e-3, 1e-4)
    assert (weights["weight_decay"], plain["weight_decay"], scales["weight_decay"]) == (0.05, 0, 0)
    common = build(quantized, OptimSettings(lr=1e-3), scale_names(quantized)).param_groups[2]
    assert common["lr"] == 1e-3
    still = build(quantized, OptimSettings(lr=1e-3, scale_lr=0.0), scale_names(quantized)).param_groups[2]
    assert still["lr"] == 0.0


def test_a_model_without_quantizers_has_no_group_of_scales() -> None:
    assert [group["name"] for group in groups(tiny.network(), OptimSettings())] == ["weights", "plain"]


def test_what_is_frozen_is_left_out() -> None:
    model = tiny.network()
    model[1].requires_grad_(False)
    named = names_of(model, groups(model, OptimSettings()))
    assert named == {"weights": ["5.weight"], "plain": ["2.weight", "2.bias", "5.bias"]}
    with pytest.raises(ValueError, match=r"no parameter of this model learns: set requires_grad on some"):
        groups(model.requires_grad_(False), OptimSettings())


def test_a_parameter_that_is_used_twice_moves_once() -> None:
    model = families.shared()
    held = [p for group in groups(model, OptimSettings()) for p in group["params"]]
    assert len(held) == len({id(p) for p in held}) == len(list(model.parameters()))


@pytest.mark.parametrize("opt", ["adamw", "sgd", "lamb", "adan", "muon", "lookahead_adamw"])
def test_every_optimizer_that_is_spoken_of_moves_all_three_groups(opt: str, quantized: Any) -> None:
    optimizer = build(quantized, OptimSettings(opt=opt, lr=0.01), scale_names(quantized))
    before = {name: p.detach().clone() for name, p in quantized.named_parameters()}
    quantized(families.images()).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    moved = {name for name, p in quantized.named_parameters() if not torch.equal(p, before[name])}
    for group, names in names_of(quantized, optimizer.param_groups).items():
        assert moved & set(names), f"nothing in {group} moved"
    quantized.load_state_dict({**quantized.state_dict(), **before})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"opt": "adamww"}, "timm has no optimizer 'adamww'; near it: adamw"),
        ({"opt": "xyzzy"}, "timm has no optimizer 'xyzzy'; see timm.optim.list_optimizers()"),
        ({"opt": "behind_adamw"}, "timm has no optimizer 'behind_adamw'"),
        ({"opt": "adahessian"}, "second derivatives, which the loop does not take: take adamw"),
        ({"opt": "sgd", "opt_eps": 1e-6}, "sgd has no epsilon: leave out --opt-eps"),
        ({"opt": "sgd", "opt_betas": (0.9, 0.99)}, "sgd does not have two betas: leave out --opt-betas"),
        ({"opt": "adan", "opt_betas": (0.9, 0.99)}, "adan does not have two betas: leave out --opt-betas"),
        ({"opt": "sgd", "momentum": -1.0}, "momentum"),
    ],
)
def test_an_optimizer_that_cannot_be_gets_one_sentence(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(tiny.network(), OptimSettings(**settings))
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there may be what is missing here")
def test_an_optimizer_that_needs_what_is_not_here_gets_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"--opt fusedsgd cannot be had here .*: take adamw"):
        build(tiny.network(), OptimSettings(opt="fusedsgd"))


def test_the_options_of_an_optimizer_reach_it() -> None:
    adam = build(tiny.network(), OptimSettings(opt="adamw", opt_betas=(0.8, 0.9), opt_eps=1e-3)).param_groups[0]
    assert (adam["betas"], adam["eps"]) == ((0.8, 0.9), 1e-3)
    assert build(tiny.network(), OptimSettings(opt="sgd", momentum=0.7)).param_groups[0]["momentum"] == 0.7


def test_groups_agree_with_those_that_timm_makes() -> None:
    model = timm.create_model("vit_tiny_patch16_224", depth=1)
    ours = {g["name"]: {id(p) for p in g["params"]} for g in groups(model, OptimSettings())}
    theirs = timm.optim.create_optimizer_v2(model, opt="adamw", lr=1e-3, weight_decay=0.05).param_groups
    by_decay = {bool(g["weight_decay"]): {id(p) for p in g["params"]} for g in theirs}
    assert ours == {"weights": by_decay[True], "plain": by_decay[False]}
