"""Learned bits stop learning when they are told to, and stay so in a file."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

import stillbit
from stillbit import Plan, per_head
from stillbit.dynamics.freeze_bits import FreezeBits, freeze_bits
from stillbit.surgery.bitops import learned_bits
from stillbit.train.hooks import Hook
from tests.surgery import tiny

PLAN = Plan.uniform(5, 5, weight="learned_bits", activation="learned_bits", granularity=per_head)


def learning() -> Any:
    model = stillbit.quantize(tiny.vit(depth=1), PLAN)
    stillbit.calibrate(model, [tiny.images()])
    with torch.no_grad():
        for _, _, quantizer in learned_bits(model):
            quantizer.bits.copy_(torch.rand(quantizer.bits.shape) * 6 + 2)
    return model


def widths(model: nn.Module) -> list[float]:
    return torch.cat([q.width().detach().flatten() for _, _, q in learned_bits(model)]).tolist()


def test_bits_are_frozen_on_time_and_not_before() -> None:
    model = learning()
    hook: Hook = FreezeBits(model, steps=20)  # 90 % of them
    optimizer = torch.optim.Adam(model.parameters(), lr=0.3)
    seen: list[list[float]] = []
    for step in range(1, 21):
        optimizer.zero_grad()
        model(tiny.images()).square().sum().backward()
        training: Any = SimpleNamespace(step=step, scores={}, best={})
        hook.before_update(training)
        optimizer.step()
        hook.after_update(training)
        hook.after_step(training, {})
        seen.append(widths(model))
        assert all(q.is_frozen() == (step >= 18) for _, _, q in learned_bits(model))
    hook.after_epoch(training)
    hook.close()
    assert seen[0] != seen[16] and seen[17] == seen[18] == seen[19]
    assert hook.state() == {}


def test_a_training_that_goes_on_later_finds_its_bits_frozen() -> None:
    model, other = learning(), learning()
    freeze_bits(model)
    other.load_state_dict(model.state_dict())
    hook = FreezeBits(other, steps=20)
    hook.load_state({})
    hook.after_step(SimpleNamespace(step=19), {})
    assert widths(other) == widths(model)


def test_frozen_bits_survive_a_file(tmp_path: Path) -> None:
    model = learning().eval()
    assert freeze_bits(model) == sum(1 for _ in learned_bits(model)) == 12
    path = stillbit.save(model, tmp_path / "mixed.safetensors")
    loaded: Any = stillbit.load(path, tiny.vit(depth=1))
    assert widths(loaded) == widths(model) and len(set(widths(loaded))) > 1
    assert all(q.is_frozen() for _, _, q in learned_bits(loaded))
    assert torch.equal(loaded(tiny.images()), model(tiny.images()))
    loaded.train()(tiny.images()).square().sum().backward()
    assert all(q.bits.grad.abs().sum() == 0 for _, _, q in learned_bits(loaded))


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1, float("nan")])
def test_a_time_outside_of_training_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="at a share of training between 0 and 1, got"):
        FreezeBits(learning(), 20, share)


def test_without_learned_bits_there_is_nothing_to_freeze() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), "w4a4")
    for attempt in (lambda: freeze_bits(model), lambda: FreezeBits(model, 20)):
        with pytest.raises(ValueError, match="this model learns no bits"):
            attempt()
