from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stillbit.dynamics.bins import BinPenalty
from stillbit.dynamics.penalty import Penalized, Priced
from stillbit.dynamics.ramp import Ramp
from stillbit.train.task import Task as LoopTask
from tests.dynamics import small


class Large:
    """The sum of squares of a weight: a penalty of one's own."""

    name = "large"

    def __init__(self, weight: Tensor) -> None:
        self.weight, self.calls = weight, 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return self.weight.square().sum()


def flat(strength: float) -> Ramp:
    return Ramp(steps=10, first=strength, last=strength)


def test_a_task_with_penalties_is_a_task_whose_losses_have_the_penalties_beside_them() -> None:
    model = small.vit()
    penalty = Large(model.head.weight)
    task: LoopTask = Penalized(small.Fit(), [Priced(penalty, flat(0.5))])
    losses = task(model, task.prepare(small.batch()))
    assert list(losses) == ["loss", "large"]
    torch.testing.assert_close(losses["large"], 0.5 * model.head.weight.square().sum())
    losses["large"].backward()
    torch.testing.assert_close(model.head.weight.grad, model.head.weight)


def test_the_strength_follows_the_steps_of_the_training_and_zero_is_not_computed() -> None:
    model = small.vit()
    penalty = Large(model.head.weight)
    task = Penalized(small.Fit(), [Priced(penalty, Ramp(steps=8, last=2.0, after=0.5))])
    training, calls = small.training(model), []
    for _ in range(8):
        small.train(training, 1, [task], task)
        calls.append(penalty.calls)
    # The strength is zero at steps 0 to 3, and at step 4, where half a cosine begins.
    assert calls == [0, 0, 0, 0, 0, 1, 2, 3] and task.step == 8


def test_the_number_in_the_log_is_strength_times_penalty() -> None:
    model = small.vit()
    weight = model.head.weight
    ramp = Ramp(steps=100, last=2.0, after=0.1)
    task = Penalized(small.Fit(), [Priced(Large(weight), ramp)])
    for step in (0, 10, 11, 50, 99, 100):
        task.load_state({"step": step})
        value = task(model, small.batch())["large"]
        assert value.item() == pytest.approx(ramp(step) * weight.square().sum().item(), rel=1e-5)


def test_a_run_that_goes_on_has_the_strength_that_it_had() -> None:
    model = small.vit()
    made = [Penalized(small.Fit(), [Priced(Large(model.head.weight), Ramp(steps=9, last=2.0))]) for _ in range(2)]
    small.train(small.training(model), 5, [made[0]], made[0])
    made[1].load_state(made[0].state())
    assert made[1].step == 5
    first, second = (task(model, small.batch())["large"] for task in made)
    assert torch.equal(first, second) and first > 0
    made[1].load_state({})
    assert made[1].step == 0


def test_a_strength_that_nobody_counts_is_an_error_and_a_flat_one_needs_no_counting() -> None:
    model = small.vit()
    task = Penalized(small.Fit(), [Priced(Large(model.head.weight), Ramp(steps=9, last=2.0))])
    with pytest.raises(ValueError, match=r"nobody counts them: write Loop\(task, \[task, \*hooks\], ...\)"):
        small.train(small.training(model), 2, [], task)
    small.train(small.training(model), 2, [], Penalized(small.Fit(), [Priced(Large(model.head.weight), flat(1.0))]))


def test_two_losses_of_one_name_are_refused() -> None:
    model = small.vit()
    twice = [Priced(Large(model.head.weight), flat(1.0))] * 2
    with pytest.raises(ValueError, match="two losses are called 'large'"):
        Penalized(small.Fit(), twice)(model, small.batch())


def test_a_step_in_parts_has_the_gradient_of_a_step_in_one() -> None:
    gradients = []
    for parts in (1, 3):
        model = small.vit().double()
        task = Penalized(small.Fit(), [Priced(BinPenalty(model, form="sum"), flat(0.3))])
        training = small.training(model, opt="momentum", lr=0.0)
        images = small.batch()._replace(images=small.batch().images.double())
        loop = small.train(training, 0, [task], task, grad_accum_steps=parts)
        losses = loop.step(training, images, 8)
        torch.testing.assert_close(losses["bins"].double(), 0.3 * BinPenalty(model, form="sum")().detach())
        gradients.append([w.parameter.grad.clone() for w in small.low(model).values()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-8)


def gradients_of(forward: nn.Module, model: nn.Module) -> dict[str, Tensor]:
    """Of a penalized step, with what a step calls being ``forward``."""
    task = Penalized(small.Fit(), [Priced(BinPenalty(model, form="sum"), flat(0.3))])
    model.zero_grad()
    sum(task(forward, small.batch()).values()).backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_inside_a_ddp_wrapper_the_gradients_are_those_of_the_bare_model() -> None:
    model = small.vit().eval()
    wanted = gradients_of(model, model)
    dist.init_process_group("gloo", rank=0, world_size=1, store=dist.HashStore())
    try:
        found = gradients_of(DistributedDataParallel(model), model)
    finally:
        dist.destroy_process_group()
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, wanted[name])
    alone = BinPenalty(model, form="sum")
    model.zero_grad()
    (0.3 * alone()).backward()
    assert alone.weights[0].parameter.grad.norm() > 0
