"""One step is one step, however it is cut; and every step is a function of its number."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.train.distributed import join
from stillbit.train.hooks import Hook
from stillbit.train.loop import Loop, parts, seed
from stillbit.train.settings import MachineSettings, OptimSettings
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped
from stillbit.train.task import Losses
from tests.house.source import PACKAGE
from tests.train import tiny

PLAIN = OptimSettings(opt="momentum", lr=0.1, momentum=0.0, weight_decay=0.0)


class Tally(Hook):
    """Writes down what it was called for."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.called, self.calls = name, calls

    def after_step(self, training: Training, losses: Losses) -> None:
        self.calls.append(f"{self.called} step {training.step} batch {training.batch}")

    def after_epoch(self, training: Training) -> None:
        self.calls.append(f"{self.called} epoch {training.epoch}")


class TwoLosses:
    """A task whose losses are known by hand."""

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        out = model(batch.images)
        return {"up": out.mean(), "down": -3 * out.mean()}


def gradients(batch: Batch, **machine: int) -> dict[str, Tensor]:
    """In double precision, as they are when the optimizer sees them."""
    training = tiny.training(tiny.network().double(), PLAIN)
    tiny.loop(**machine).step(training, batch._replace(images=batch.images.double()), len(batch.targets))
    return {name: p.grad for name, p in training.model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("count", [2, 3, 5, 7, 9])
def test_the_parts_of_a_step_add_up_to_the_step_even_where_they_are_uneven(count: int) -> None:
    whole, cut = gradients(tiny.batch(7)), gradients(tiny.batch(7), grad_accum_steps=count)
    assert whole.keys() == cut.keys() and len(whole) == 6
    for name, gradient in whole.items():
        torch.testing.assert_close(cut[name], gradient, rtol=1e-12, atol=1e-14)


def test_the_loss_of_a_step_in_parts_is_the_mean_over_its_images() -> None:
    batch = tiny.batch(7)
    model = tiny.network()
    wanted = nn.functional.cross_entropy(model(batch.images), batch.targets)
    for count in (1, 3):
        losses = tiny.loop(grad_accum_steps=count).step(tiny.training(tiny.network(), PLAIN), batch, 7)
        torch.testing.assert_close(losses["loss"], wanted)
        assert not losses["loss"].requires_grad


def test_the_parts_hold_every_image_once_with_its_share_of_the_step() -> None:
    batch = tiny.batch(7)
    cut = list(parts(batch, 3))
    assert torch.cat([part.indices for part, _, _ in cut]).tolist() == list(range(7))
    assert [share for _, share, _ in cut] == [3 / 7, 2 / 7, 2 / 7] and [last for *_, last in cut] == [
        False,
        False,
        True,
    ]
    assert [share for _, share, _ in parts(tiny.batch(2), 5)] == [0.5, 0.5]


def test_a_task_may_have_several_losses_and_training_goes_down_their_sum() -> None:
    training = tiny.training(settings=PLAIN)
    losses = tiny.loop(TwoLosses()).step(training, tiny.batch(), 8)
    torch.testing.assert_close(losses["down"], -3 * losses["up"])
    bias = training.model[5].bias.grad
    torch.testing.assert_close(bias, torch.full((tiny.CLASSES,), -2 / tiny.CLASSES))


def test_gradients_are_clipped_to_the_norm_that_was_asked_for() -> None:
    batch = tiny.batch()
    for clip, wanted in ((1e-3, 1e-3), (1e6, None)):
        training = tiny.training(settings=PLAIN)
        tiny.loop(clip=clip).step(training, batch, 8)
        norm = torch.cat([p.grad.flatten() for p in training.model.parameters()]).norm().item()
        free = torch.cat([g.flatten() for g in gradients(batch).values()]).norm().item()
        assert norm == pytest.approx(wanted or free, rel=1e-3)


def test_a_step_depends_on_its_number_and_not_on_what_was_drawn_before() -> None:
    batch, results = tiny.batch(), []
    for drawn in (0, 3):
        torch.rand(drawn)
        training = tiny.training(tiny.network(dropout=0.5))
        training.step = 4
        torch.rand(drawn)
        tiny.loop(tiny.classify(mixup=0.5)).step(training, batch, 8)
        results.append(tiny.numbers(training))
    assert tiny.same(*results)
    training = tiny.training(tiny.network(dropout=0.5))
    training.step = 5
    tiny.loop(tiny.classify(mixup=0.5)).step(training, batch, 8)
    assert not tiny.same(results[0], tiny.numbers(training)), "another step draws other numbers"


def test_processes_draw_different_numbers() -> None:
    drawn = set()
    for rank in range(4):
        seed(1, 2, rank)
        drawn.add(torch.rand(1).item())
    assert len(drawn) == 4


def test_hooks_are_called_in_their_order_after_steps_and_after_epochs() -> None:
    calls: list[str] = []
    training = tiny.training()
    tiny.fit(tiny.loop(hooks=[Tally("a", calls), Tally("b", calls)]), training, tiny.loader(8), 2)
    assert calls[:6] == [
        "a step 1 batch 1",
        "b step 1 batch 1",
        "a step 2 batch 2",
        "b step 2 batch 2",
        "a epoch 1",
        "b epoch 1",
    ]
    assert calls[6] == "a step 3 batch 1" and calls[-1] == "b epoch 2" and len(calls) == 12


def test_asked_to_stop_the_loop_ends_between_two_steps() -> None:
    calls: list[str] = []
    training, stop = tiny.training(), Stop()
    with pytest.raises(Stopped) as stopped:
        tiny.loop(hooks=[Tally("a", calls), tiny.Asker(stop, 3)]).fit(training, tiny.loader(), 3, stop)
    assert stopped.value.signal == 15
    assert (training.step, training.epoch, training.batch) == (3, 0, 3) and len(calls) == 3
    undisturbed = tiny.training()
    tiny.fit(tiny.loop(), undisturbed, tiny.loader(12), 1)
    assert undisturbed.step == 3


def test_a_training_that_has_had_its_epochs_is_left_alone() -> None:
    training = tiny.training()
    training.epoch = 3
    before = tiny.numbers(training)
    tiny.fit(tiny.loop(), training, tiny.loader(), 3)
    assert tiny.same(before, tiny.numbers(training)) and training.step == 0


def test_the_model_trains_in_training_mode_even_after_a_hook_that_looked_at_it() -> None:
    class Looker(Hook):
        name = "looker"

        def after_epoch(self, training: Training) -> None:
            training.model.eval()

        def after_step(self, training: Training, losses: Losses) -> None:
            assert training.model.training

    tiny.fit(tiny.loop(hooks=[Looker()]), tiny.training(), tiny.loader(8), 2)


def test_computing_in_bfloat16_keeps_the_weights_in_float32() -> None:
    plain, half = tiny.training(settings=PLAIN), tiny.training(settings=PLAIN)
    first = tiny.loop().step(plain, tiny.batch(), 8)["loss"]
    second = tiny.loop(amp=True).step(half, tiny.batch(), 8)["loss"]
    assert 0 < abs(first - second) < 0.05 and second.dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in half.model.parameters())


def test_hooks_see_all_gradients_before_the_update_and_the_weights_before_the_average_follows() -> None:
    batch, seen = tiny.batch(7), dict[str, Tensor]()

    class Onlooker(Hook):
        name = "onlooker"

        def before_update(self, training: Training) -> None:
            seen["gradient"] = training.model[5].weight.grad.clone()
            seen["before"] = training.model[5].weight.detach().clone()

        def after_update(self, training: Training) -> None:
            assert training.ema is not None and training.step == 0
            seen["clipped"] = training.model[5].weight.grad.clone()
            seen["average"] = training.ema.module[5].weight.clone()
            training.model[5].weight.data.zero_()

    training = tiny.training(ema=True)
    training.ema.module[5].weight.data.fill_(7.0)
    tiny.loop(hooks=[Onlooker()], clip=1e-3, grad_accum_steps=3).step(training, batch, 7)
    wanted = gradients(batch)["5.weight"].float()
    torch.testing.assert_close(seen["gradient"], wanted, rtol=1e-4, atol=1e-6)
    assert seen["clipped"].norm() < 1e-3 < seen["gradient"].norm()
    assert (seen["average"] == 7).all() and not training.ema.module[5].weight.any()
    assert seen["before"].any()


def test_the_average_follows_the_model_after_every_step() -> None:
    training = tiny.training(ema=True)
    loop, batch = tiny.loop(), tiny.batch()
    assert training.ema is not None
    loop.step(training, batch, 8)
    before = training.model[1].weight.clone()
    assert torch.equal(training.ema.module[1].weight, before), "the first step is the first average"
    loop.step(training, batch, 8)
    torch.testing.assert_close(training.ema.module[1].weight, 0.9 * before + 0.1 * training.model[1].weight)


def imports(name: str) -> set[str]:
    """The modules of stillbit that a module leads to, by its import statements."""
    code = ast.parse((PACKAGE.parent / f"{name.replace('.', '/')}.py").read_text())
    found = set()
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("stillbit."):
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                found.add(inside if (PACKAGE.parent / f"{inside.replace('.', '/')}.py").is_file() else node.module)
    return found


def test_the_loop_knows_nothing_of_bits() -> None:
    seen, left = set[str](), {"stillbit.train.loop", "stillbit.train.checkpoint", "stillbit.train.log"}
    while left:
        seen, left = seen | left, {found for name in left for found in imports(name)} - seen
    assert {name.split(".")[1] for name in seen} == {"train", "data"} and "stillbit.data.chance" in seen


def test_patience_ends_a_training_whose_best_epoch_is_long_ago() -> None:
    class Judge(Hook):
        name = "judge"
        scores = iter([1.0, 3.0, 2.0, 2.5, 9.0])

        def after_epoch(self, training: Training) -> None:
            score = next(self.scores)
            if score > training.best.get("top1", 0.0):
                training.best = {"epoch": training.epoch, "top1": score}

    training = tiny.training()
    loop = Loop(tiny.classify(), [Judge()], MachineSettings(), join("cpu"), None)
    loop.fit(training, tiny.loader(), 5, Stop(), patience=2)
    assert (training.epoch, training.best) == (4, {"epoch": 2, "top1": 3.0})
    loop.fit(training, tiny.loader(), 5, Stop(), patience=2)
    assert training.epoch == 4, "resumed, it has ended already"
