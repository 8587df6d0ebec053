"""What a model is asked to learn, against formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from stillbit.train.loop import seed
from tests.train import tiny

MIXES: list[dict[str, Any]] = [{"mixup": 0.8}, {"cutmix": 1.0}, {"mixup": 0.8, "cutmix": 1.0}]


def cross(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * log_softmax(logits, 1)).sum(1).mean()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_cross_entropy_with_smoothed_labels(smoothing: float) -> None:
    model, batch = tiny.network(), tiny.batch()
    targets = one_hot(batch.targets, tiny.CLASSES) * (1 - smoothing) + smoothing / tiny.CLASSES
    found = tiny.classify(smoothing=smoothing)(model, batch)
    assert found.keys() == {"loss"}
    torch.testing.assert_close(found["loss"], cross(model(batch.images), targets))


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("count", [1, 5, 8])
def test_mixed_targets_are_shares_that_sum_to_one_and_no_image_is_lost(mix: dict[str, Any], count: int) -> None:
    task, batch = tiny.classify(smoothing=0.1, **mix), tiny.batch(count)
    for number in range(20):
        seed(number)
        mixed = task.prepare(batch)
        assert mixed.images.shape == batch.images.shape and torch.equal(mixed.indices, batch.indices)
        torch.testing.assert_close(mixed.targets.sum(1), torch.ones(count))
        assert mixed.targets.min() >= 0.1 / tiny.CLASSES - 1e-6, "the targets are smoothed, once"


def test_mixup_adds_an_image_to_its_partner_with_the_shares_of_their_targets() -> None:
    task, batch = tiny.classify(mixup=0.8), tiny.batch(6)
    seed(1)
    mixed = task.prepare(batch)
    share = one_share(mixed.targets, batch.targets)
    assert 0 < share < 1
    torch.testing.assert_close(mixed.images, share * batch.images + (1 - share) * batch.images.flip(0))


def one_share(mixed: Tensor, labels: Tensor) -> float:
    for row, mine, other in zip(mixed, labels, labels.flip(0), strict=True):
        if mine != other:
            return float(row[mine])
    raise AssertionError("all pairs have one label")


def test_the_odd_one_out_is_mixed_with_itself() -> None:
    batch = tiny.batch(5)
    seed(1)
    mixed = tiny.classify(mixup=0.8).prepare(batch)
    torch.testing.assert_close(mixed.images[0], batch.images[0])
    torch.testing.assert_close(mixed.targets[0], one_hot(batch.targets[0], tiny.CLASSES).float())


def test_mixing_leaves_the_batch_it_was_given_as_it_is() -> None:
    batch = tiny.batch(6)
    before = batch.images.clone()
    seed(1)
    mixed = tiny.classify(mixup=0.8).prepare(batch)
    assert torch.equal(batch.images, before) and not torch.equal(mixed.images, before)


@pytest.mark.parametrize("mix", MIXES)
def test_the_same_seed_mixes_in_the_same_way(mix: dict[str, Any]) -> None:
    found = []
    for key in (1, 1, 2):
        seed(key)
        found.append(tiny.classify(**mix).prepare(tiny.batch()).images)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_batch_is_mixed_as_often_as_was_asked() -> None:
    def mixed(share: float) -> int:
        task, batch = tiny.classify(mixup=0.8, mixup_prob=share), tiny.batch()
        count = 0
        for number in range(60):
            seed(number)
            count += not torch.equal(task.prepare(batch).images, batch.images)
        return count

    assert mixed(0.0) == 0 and 15 < mixed(0.5) < 45 and mixed(1.0) == 60


def test_where_nothing_is_mixed_the_batch_is_the_same_one() -> None:
    batch = tiny.batch(5)
    assert tiny.classify(smoothing=0.1).prepare(batch) is batch


def test_mixed_and_cut_in_parts_a_step_is_the_same_step() -> None:
    wanted, batch = None, tiny.batch(7)
    for count in (1, 3):
        training = tiny.training(tiny.network().double())
        doubled = batch._replace(images=batch.images.double())
        tiny.loop(tiny.classify(mixup=0.5), grad_accum_steps=count).step(training, doubled, 7)
        gradient = training.model[1].weight.grad
        wanted = gradient if wanted is None else wanted
        torch.testing.assert_close(gradient, wanted, rtol=1e-6, atol=1e-9)


def test_the_loss_of_half_precision_logits_is_computed_in_float32() -> None:
    model = tiny.network().to(torch.bfloat16)
    batch = tiny.batch()
    loss = tiny.classify()(model, batch._replace(images=batch.images.to(torch.bfloat16)))["loss"]
    assert loss.dtype == torch.float32


def test_the_loss_has_a_gradient() -> None:
    model: nn.Module = tiny.network()
    tiny.classify()(model, tiny.batch())["loss"].backward()
    assert all(p.grad is not None for p in model.parameters())
