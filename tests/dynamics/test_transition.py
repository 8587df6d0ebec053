from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

from stillbit.dynamics.transition import GROUP, Transition, hold_scales, separate
from stillbit.train import schedule
from stillbit.train.settings import ScheduleSettings
from stillbit.train.state import Training
from tests.dynamics import small

STEPS = 300


def started(opt: str = "adamw", *, bits: int = 2, weight: str = "lsq", **settings: Any) -> tuple[Training, Transition]:
    """A training with schedule, made in the order in which a run makes it."""
    model = small.vit(bits, weight)
    hold_scales(model)
    training = small.training(model, opt=opt, lr=1e-3, **settings)
    separate(training.optimizer, model)
    training.schedule = schedule.build(training.optimizer, ScheduleSettings(epochs=10), STEPS // 10)
    return training, Transition(model, training.optimizer, steps=STEPS, rate=0.02, momentum=0.9, gain=1.0)


def group(training: Training, name: str) -> dict[str, Any]:
    return next(g for g in training.optimizer.param_groups if g["name"] == name)


def test_rate_and_learning_rate_follow_the_equations_step_by_step() -> None:
    training, hook = started()
    running, lr, before = 0.0, 1e-3, small.codes(training.model)
    for step in range(20):
        now = small.codes(training.model)
        changed = sum(int((now[n] != before[n]).sum()) for n in now) / sum(c.numel() for c in now.values())
        running = 0.9 * running + 0.1 * changed
        target = 0.02 * math.sqrt(2) * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        lr, before = max(0.0, lr + 1e-3 * (target - running)), now
        small.train(training, 1, [hook])
        assert hook.rate == pytest.approx(running) and hook.lr == pytest.approx(lr)
        assert group(training, GROUP)["lr"] == hook.lr
    assert running > 0


def test_only_low_bit_weights_have_the_adaptive_rate_and_the_rest_keeps_its_schedule() -> None:
    training, hook = started()
    small.train(training, 3, [hook])
    own = {id(p) for p in group(training, GROUP)["params"]}
    assert own == {id(w.parameter) for w in small.low(training.model).values()}
    scheduled = 1e-3 * 0.5 * (1 + math.cos(math.pi * 2 / STEPS))
    for name in ("weights", "plain", "scales"):
        assert group(training, name)["lr"] == pytest.approx(scheduled)
    assert group(training, GROUP)["lr"] != pytest.approx(scheduled, rel=1e-6)
    held = [p for g in training.optimizer.param_groups for p in g["params"]]
    assert len({id(p) for p in held}) == len(held)
    assert {id(p) for p in held} == {id(p) for p in training.model.parameters() if p.requires_grad}


def test_a_group_keeps_the_options_of_the_one_it_came_from() -> None:
    training, _ = started(weight_decay=0.3)
    assert group(training, GROUP)["weight_decay"] == 0.3 == group(training, "weights")["weight_decay"]


def test_a_group_that_would_be_empty_is_left_out() -> None:
    model = small.vit()
    optimizer = torch.optim.SGD([{"name": "weights", "params": [w.parameter for w in small.low(model).values()]}], 0.1)
    separate(optimizer, model)
    assert [g["name"] for g in optimizer.param_groups] == [GROUP]


def test_more_codes_change_than_wanted_and_the_rate_falls_fewer_and_it_rises() -> None:
    for wanted, rises in ((0.5, True), (0.0, False)):
        training, hook = started()
        hook.target = type(hook.target)(steps=STEPS, first=wanted, last=wanted)
        small.train(training, 30, [hook])
        assert (hook.lr > 1e-3) == rises and hook.lr != 1e-3


def test_the_running_rate_is_brought_to_the_target() -> None:
    rates = []
    for wanted in (0.002, 0.02):
        training, hook = started("momentum")
        hook.target = type(hook.target)(steps=STEPS, first=wanted, last=wanted)
        hook.eta = 100 * hook.eta  # a plain learning rate of 1e-3 moves few codes in so few steps
        small.train(training, STEPS // 2, [hook])
        rates.append(hook.rate)
        assert hook.rate == pytest.approx(wanted, rel=0.5)
    assert rates[0] < rates[1]


def test_the_learning_rate_never_falls_below_zero() -> None:
    training, hook = started()
    hook.lr, hook.rate = 1e-9, 0.9
    small.train(training, 2, [hook])
    assert hook.lr == 0 == group(training, GROUP)["lr"]


def test_scales_of_low_bit_weights_stand_still_and_those_of_activations_learn() -> None:
    training, hook = started()
    before = {n: p.detach().clone() for n, p in training.model.named_parameters()}
    small.train(training, 3, [hook])
    for name, parameter in training.model.named_parameters():
        if name.startswith("blocks") and name.endswith("weight_quantizer.scale"):
            assert torch.equal(parameter, before[name])
        if name.startswith("blocks") and name.endswith("input_quantizer.scale"):
            assert not torch.equal(parameter, before[name])


@pytest.mark.parametrize("opt", ["momentum", "adamw", "lamb"])
@pytest.mark.parametrize("weight", ["lsq", "statsq", "dorefa"])
def test_it_runs_with_any_optimizer_and_quantizer(opt: str, weight: str) -> None:
    training, hook = started(opt, weight=weight)
    small.train(training, 5, [hook])
    assert math.isfinite(hook.lr) and hook.rate >= 0


def test_a_run_that_goes_on_is_the_run_without_a_break() -> None:
    whole, hook = started()
    small.train(whole, 12, [hook])
    training, first = started()
    small.train(training, 7, [first])
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = Transition(training.model, training.optimizer, steps=STEPS, rate=0.02, momentum=0.9)
    second.load_state(torch.load(file, weights_only=True))
    small.train(training, 5, [second])
    assert (second.rate, second.lr) == (hook.rate, hook.lr)
    for one, other in zip(whole.model.state_dict().values(), training.model.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_log_gets_the_rate_and_the_learning_rate() -> None:
    training, hook = started()
    small.train(training, 3, [hook])
    hook.after_epoch(training)
    assert training.scores == {"transition_rate": hook.rate, "transition_lr": hook.lr}


def test_an_optimizer_without_the_groups_is_refused() -> None:
    training = small.training(small.vit())
    with pytest.raises(ValueError, match=r"call separate\(optimizer, model\) first"):
        Transition(training.model, training.optimizer, steps=10)
