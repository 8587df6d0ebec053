"""Sums that do not depend on how images are dealt out."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from stillbit.analysis.scores import Tally, log_probabilities


def test_scores_are_those_of_torch_on_all_images_at_once() -> None:
    logits, floats = torch.randn(2, 23, 5, dtype=torch.float64)
    targets = torch.randint(5, (23,))
    tally = Tally()
    for part in torch.arange(23).split(7):
        losses = tally.add(logits[part], log_probabilities(floats[part]), targets[part])
        assert torch.allclose(losses, cross_entropy(logits[part], targets[part], reduction="none"))
    found = tally.scores()
    assert found.top1 == (logits.argmax(1) == targets).double().mean().item()
    assert found.loss == pytest.approx(cross_entropy(logits, targets).item(), rel=1e-12)
    divergence = kl_div(logits.log_softmax(1), floats.log_softmax(1), log_target=True, reduction="batchmean")
    assert found.kl == pytest.approx(divergence.item(), rel=1e-12)
    assert tally.images == 23 and tally.loss_error() == 0


def test_the_error_is_the_standard_error_of_the_change() -> None:
    logits, before = torch.randn(20, 4), torch.rand(20, dtype=torch.float64)
    targets, tally = torch.randint(4, (20,)), Tally()
    for part in torch.arange(20).split(6):
        tally.add(logits[part], log_probabilities(logits[part]), targets[part], before[part])
    change = cross_entropy(logits.double(), targets, reduction="none") - before
    assert tally.loss_error() == pytest.approx((change.std() / 20**0.5).item(), rel=1e-9)
    assert tally.scores().kl == 0


def test_one_image_has_no_spread() -> None:
    tally = Tally()
    tally.add(torch.randn(1, 3), log_probabilities(torch.randn(1, 3)), torch.tensor([2]), torch.zeros(1))
    assert tally.loss_error() == 0
