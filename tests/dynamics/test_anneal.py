from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.boundary import distances
from tests.dynamics import small

BAND = 0.05
PLANS = {
    "lsq": {"weight": "lsq"},
    "statsq": {"weight": "statsq"},
    "merged": {"weight": "statsq", "merge": True},
    "dorefa": {"weight": "dorefa"},
}


def bands(model: Any) -> dict[str, Tensor]:
    return {name: distances(w.latent()) <= BAND for name, w in small.low(model).items()}


def attention(name: str) -> bool:
    return name.endswith((".qkv", ".qk"))


@pytest.mark.parametrize(
    "plan, opt, amp",
    [
        ("lsq", "adamw", False),
        ("lsq", "momentum", False),
        ("lsq", "lamb", False),
        ("lsq", "adamw", True),
        ("statsq", "adamw", False),
        ("merged", "adamw", False),
        ("merged", "momentum", False),
        ("dorefa", "adamw", False),
    ],
)
def test_a_hundred_steps_move_weights_near_a_boundary_and_leave_the_others_to_the_last_bit(
    plan: str, opt: str, amp: bool
) -> None:
    model = small.vit(2, **PLANS[plan])
    training = small.training(model, opt=opt, lr=1e-3, weight_decay=0.1)
    small.train(training, 5)  # momentum is there when the annealing begins
    anneal = Anneal(model, begin=5, band=BAND)
    begin = small.latents(model)
    ever = {name: torch.zeros_like(now, dtype=torch.bool) for name, now in begin.items()}
    for _ in range(100):
        inside, before = bands(model), small.latents(model)
        small.train(training, 1, [anneal], amp=amp)
        for name, now in small.latents(model).items():
            confident = ~inside[name]
            assert torch.equal(now[confident], before[name][confident])
            ever[name] |= inside[name]
    for name, now in small.latents(model).items():
        assert torch.equal(now[~ever[name]], begin[name][~ever[name]]) and not ever[name].all()
        assert (now != begin[name]).any(), name
    assert any(attention(name) for name in begin)


def test_rows_of_query_key_and_value_are_all_held_and_all_moved() -> None:
    model = small.vit(2, "statsq")
    training = small.training(model, lr=1e-3)
    anneal = Anneal(model, begin=0, band=BAND)
    inside, before = bands(model), small.latents(model)
    small.train(training, 1, [anneal])
    weight = small.low(model)["blocks.0.attn.qkv"]
    changed = weight.parameter.detach() != before[weight.name]
    assert not (changed & ~inside[weight.name]).any()
    for role in ("query", "key", "value"):
        assert any(p.of(changed).any() for p in weight.pieces() if p.role == role)


def test_scales_norms_and_biases_go_on_learning() -> None:
    model = small.vit(2)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    small.train(small.training(model), 3, [Anneal(model, begin=0)])
    for name in ("blocks.0.norm1.weight", "blocks.0.mlp.fc1.bias", "blocks.0.attn.qkv.weight_quantizer.scale"):
        assert not torch.equal(before[name], model.get_parameter(name)), name
    assert not torch.equal(before["head.weight"], model.head.weight), "8-bit weights are no part of it"


def test_gradients_of_confident_weights_are_gone_before_they_are_clipped() -> None:
    model = small.vit(2)
    anneal, training = Anneal(model, begin=0, band=BAND), small.training(model)
    inside = bands(model)
    small.train(training, 1, [anneal])
    for name, weight in small.low(model).items():
        assert not weight.parameter.grad[~inside[name]].any() and weight.parameter.grad[inside[name]].any()


def test_before_it_begins_nothing_is_held() -> None:
    plain, held = small.vit(2), small.vit(2)
    anneal = Anneal(held, begin=5)
    small.train(small.training(plain), 5)
    small.train(small.training(held), 5, [anneal])
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), held.state_dict().values(), strict=True))
    assert anneal.numbers() == {} and anneal.shares() == {}


def test_the_share_of_weights_that_could_move_is_logged() -> None:
    model = small.vit(2)
    anneal, training = Anneal(model, begin=0, band=BAND), small.training(model)
    inside = bands(model)
    small.train(training, 1, [anneal])
    wanted = {name: mask.float().mean().item() for name, mask in inside.items()}
    assert anneal.shares() == pytest.approx(wanted)
    anneal.after_epoch(training)
    count = sum(mask.numel() for mask in inside.values())
    assert training.scores == {"in_band": pytest.approx(sum(int(m.sum()) for m in inside.values()) / count)}


def test_a_weight_that_has_no_gradient_is_held_all_the_same() -> None:
    model = small.vit(2)
    small.low(model)["blocks.0.mlp.fc1"].parameter.requires_grad_(False)
    small.train(small.training(model), 2, [Anneal(model, begin=0)])


def test_a_resumed_annealing_knows_what_could_move() -> None:
    model = small.vit()
    training = small.training(model)
    anneal = Anneal(model, begin=0, band=BAND)
    assert Anneal(model, begin=0).state() == {"moving": {}}
    small.train(training, 1, [anneal])
    again = Anneal(small.vit(), begin=0, band=BAND)
    again.load_state(anneal.state())
    assert again.numbers() == anneal.numbers() and 0 < again.numbers()["in_band"] < 1


def test_a_run_is_judged_from_the_annealing_on() -> None:
    model = small.vit()
    training = small.training(model)
    training.best = {"epoch": 1, "top1": 99.0}
    anneal = Anneal(model, begin=2, band=BAND)
    small.train(training, 2, [anneal])
    assert training.best
    small.train(training, 1, [anneal])
    assert not training.best
