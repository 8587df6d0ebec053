"""The learning rate as a formula, at every step."""

from __future__ import annotations

from itertools import pairwise
from math import cos, pi
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

from stillbit.train.schedule import build
from stillbit.train.settings import ScheduleSettings

STEPS, EPOCHS, WARM = 5, 8, 2
LR, SCALE_LR = 0.1, 0.02


def optimizer() -> Optimizer:
    a, b = (nn.Parameter(torch.ones(2)) for _ in range(2))
    return torch.optim.SGD([{"params": [a]}, {"params": [b], "lr": SCALE_LR}], lr=LR)


def rates(steps: int | None = None, **settings: Any) -> list[tuple[float, ...]]:
    """Of both groups, at each step."""
    moved = optimizer()
    schedule = build(moved, ScheduleSettings(**{"epochs": EPOCHS, **settings}), STEPS)
    found = []
    for step in range(EPOCHS * STEPS if steps is None else steps):
        schedule.step_update(step)
        found.append(tuple(group["lr"] for group in moved.param_groups))
    return found


def cosine(step: int, highest: float, lowest: float = 0.0) -> float:
    return lowest + 0.5 * (highest - lowest) * (1 + cos(pi * step / (EPOCHS * STEPS)))


def test_cosine_with_warm_up_is_its_formula_at_every_step() -> None:
    found = rates(warmup_epochs=WARM, warmup_lr=0.001, min_lr=0.005)
    for step, pair in enumerate(found):
        for rate, highest in zip(pair, (LR, SCALE_LR), strict=True):
            warm = WARM * STEPS
            rising = 0.001 + step * (highest - 0.001) / warm
            assert rate == pytest.approx(rising if step < warm else cosine(step, highest, 0.005), rel=1e-12), step


def test_linear_with_warm_up_is_its_formula_at_every_step() -> None:
    for step, (rate, _) in enumerate(rates(sched="linear", warmup_epochs=WARM, warmup_lr=0.0, min_lr=0.01)):
        warm, whole = WARM * STEPS, EPOCHS * STEPS
        falling = 0.01 + (LR - 0.01) * (1 - step / whole)
        assert rate == pytest.approx(step * LR / warm if step < warm else falling, rel=1e-12), step


def test_without_a_warm_up_it_begins_at_the_top_and_ends_near_the_bottom() -> None:
    found = rates()
    assert found[0] == pytest.approx((LR, SCALE_LR)) and found[-1][0] == pytest.approx(cosine(39, LR))
    assert all(first > second for (first, _), (second, _) in pairwise(found))


@pytest.mark.parametrize("sched", ["cosine", "constant", "tanh", "linear"])
def test_a_group_with_its_own_learning_rate_keeps_its_ratio(sched: str) -> None:
    for first, second in rates(sched=sched):
        assert second / first == pytest.approx(SCALE_LR / LR)


def test_a_constant_rate_is_constant_after_its_warm_up() -> None:
    found = rates(sched="constant", warmup_epochs=1)
    assert found[0][0] == pytest.approx(1e-6) and all(pair == pytest.approx((LR, SCALE_LR)) for pair in found[STEPS:])


def test_half_an_epoch_of_warm_up_is_counted_in_steps() -> None:
    found = [rate for rate, _ in rates(warmup_epochs=0.6, warmup_lr=0.0)]
    assert found[:3] == pytest.approx([0, LR / 3, 2 * LR / 3]) and found[3] == pytest.approx(cosine(3, LR))


def test_the_rate_is_a_function_of_the_step_alone() -> None:
    settings = ScheduleSettings(epochs=EPOCHS, warmup_epochs=1)
    wanted = rates(warmup_epochs=1)
    moved = optimizer()
    schedule = build(moved, settings, STEPS)
    for step in (31, 4, 4, 0, 39, 17):
        schedule.step_update(step)
        assert tuple(group["lr"] for group in moved.param_groups) == wanted[step]


def test_a_schedule_that_goes_on_gives_the_same_rates() -> None:
    wanted = rates(warmup_epochs=1)
    settings = ScheduleSettings(epochs=EPOCHS, warmup_epochs=1)
    first, second = optimizer(), optimizer()
    before, after = build(first, settings, STEPS), build(second, settings, STEPS)
    before.step_update(12)
    after.load_state_dict(before.state_dict())
    second.load_state_dict(first.state_dict())
    for step in range(13, EPOCHS * STEPS):
        after.step_update(step)
        assert tuple(group["lr"] for group in second.param_groups) == wanted[step]
