from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor

from stillbit.dynamics.freeze import Freeze, settle
from stillbit.dynamics.pins import Pins
from stillbit.dynamics.ramp import Ramp
from stillbit.train.hooks import Hook
from tests.dynamics import small

STEPS = 60


def frozen_hook(model: Any, *, after: float = 0.1, last: float = 0.03) -> Freeze:
    return Freeze(model, Ramp(steps=STEPS, first=0.1, last=last, after=after), momentum=0.1)


class Witness(Hook):
    """Notes every frozen weight that has another code than it was frozen at, seen by the next forward pass."""

    name = "witness"

    def __init__(self, freeze: Freeze) -> None:
        self.freeze, self.flips, self.moved = freeze, 0, 0
        self.before: dict[str, tuple[Tensor, Tensor, Tensor]] = {}

    def before_update(self, training: Any) -> None:
        for weight in self.freeze.weights:
            pins = self.freeze.pins[weight.name]
            self.flips += int((weight.codes() != pins.codes)[pins.frozen].sum())
            gradient = weight.parameter.grad
            assert gradient is not None and not gradient[pins.frozen].any()


@pytest.mark.parametrize(
    "method, bits, opt",
    [
        *(("lsq", 2, opt) for opt in ("adamw", "momentum", "lamb")),
        *(("statsq", 2, opt) for opt in ("adamw", "momentum")),
        ("lsq", 4, "adamw"),
        ("statsq", 3, "lamb"),
        ("minmax", 3, "adamw"),
    ],
)
def test_what_is_frozen_never_flips(method: str, bits: int, opt: str) -> None:
    model = small.vit(bits, method)
    freeze = frozen_hook(model)
    witness = Witness(freeze)
    training = small.training(model, opt=opt, lr=0.02 if opt != "momentum" else 0.05, weight_decay=0.1)
    small.train(training, STEPS, [freeze, witness])
    frozen = sum(int(p.frozen.sum()) for p in freeze.pins.values())
    assert witness.flips == 0 and frozen > 20
    for weight in freeze.weights:
        pins = freeze.pins[weight.name]
        assert torch.equal(weight.codes()[pins.frozen], pins.codes[pins.frozen].to(torch.int16))


def test_nothing_freezes_before_its_time() -> None:
    model = small.vit()
    freeze = frozen_hook(model, after=0.5)
    training = small.training(model)
    small.train(training, STEPS // 2 - 1, [freeze])
    assert freeze.numbers() == {"frozen": 0.0} and not freeze.begun
    small.train(training, STEPS // 2, [freeze])
    assert freeze.numbers()["frozen"] > 0


def test_a_weight_freezes_in_the_middle_of_its_bin_and_stays_there_to_the_last_bit() -> None:
    model = small.vit(3)
    for weight in small.low(model).values():
        weight.quantizer.requires_grad_(False)
    freeze, training = frozen_hook(model), small.training(model, weight_decay=0.1)
    seen = 0
    for _ in range(STEPS):
        held = {n: (p.frozen.clone(), small.latents(model)[n]) for n, p in freeze.pins.items()}
        small.train(training, 1, [freeze])
        for weight in freeze.weights:
            frozen, before = held[weight.name]
            assert torch.equal(weight.parameter[frozen], before[frozen])
            pins, latent = freeze.pins[weight.name], weight.latent()
            fresh = pins.frozen & ~frozen
            middle = (pins.codes * latent.scale).detach()
            assert torch.equal(weight.parameter[fresh], middle[fresh])
            seen += int(fresh.sum())
    assert seen > 20


@pytest.mark.parametrize("method", ["lsq", "statsq"])
@pytest.mark.parametrize("bits", [2, 4])
def test_a_scale_that_moves_takes_no_frozen_weight_into_another_bin(method: str, bits: int) -> None:
    chance = torch.Generator().manual_seed(0)
    for share in (0.05, 0.5, 0.95):
        model = small.vit(bits, method)
        weight = next(iter(small.low(model).values()))
        pins = Pins(weight.codes(), weight.quantizer.grid)
        pins.frozen = torch.rand(weight.parameter.shape, generator=chance) < share
        pins.codes = weight.codes().to(torch.int8)
        for _ in range(30):
            with torch.no_grad():
                free = torch.randn(weight.parameter.shape, generator=chance) * 0.1
                weight.parameter.add_(free.where(~pins.frozen, 0.0))
                if method == "lsq":
                    weight.quantizer.scale.mul_(torch.rand((), generator=chance) + 0.5)
            settle(weight, pins, torch.zeros_like(pins.frozen))
            assert torch.equal(weight.codes()[pins.frozen], pins.codes[pins.frozen].to(torch.int16))


def test_a_run_that_goes_on_is_the_run_without_a_break() -> None:
    models = [small.vit(), small.vit()]
    whole = frozen_hook(models[0])
    small.train(small.training(models[0]), 40, [whole])
    first, training = frozen_hook(models[1]), small.training(models[1])
    small.train(training, 25, [first])
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = frozen_hook(models[1])
    second.load_state(torch.load(file, weights_only=True))
    small.train(training, 15, [second])
    assert whole.numbers() == second.numbers() and whole.numbers()["frozen"] > 0
    for one, other in zip(*(m.state_dict().values() for m in models), strict=True):
        assert torch.equal(one, other)
    second.load_state({})
    assert second.numbers() == {"frozen": 0.0} and not second.begun


@pytest.mark.parametrize("method, bits", [("dorefa", 2), ("sign", 1)])
def test_quantizers_that_transform_weights_are_refused(method: str, bits: int) -> None:
    with pytest.raises(ValueError, match="transforms weights before they have bins: use lsq, minmax or statsq"):
        frozen_hook(small.vit(bits, method))


def test_a_step_in_bfloat16_holds_what_is_frozen() -> None:
    model = small.vit()
    freeze = frozen_hook(model)
    witness = Witness(freeze)
    small.train(small.training(model), 30, [freeze, witness], amp=True)
    assert witness.flips == 0 and freeze.numbers()["frozen"] > 0
