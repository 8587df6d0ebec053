"""Features that point where the teacher's do, against loops in float64."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit.distill.mimic import Mimics
from stillbit.surgery.swap import quantize
from tests.distill.lessons import Network
from tests.distill.test_relate import vit
from tests.distill.test_tasks import batch, distilled, taught


def made(teacher: nn.Module, student: nn.Module, strength: float = 1.0, **settings: Any) -> Mimics:
    return Mimics(taught(teacher, student, **settings), student, strength)


def features(model: Any, images: Tensor) -> Tensor:
    """What enters the classifier, by timm's own two halves of a forward."""
    held: Tensor = model.forward_head(model.forward_features(images), pre_logits=True)
    return held


def apart(mine: Tensor, other: Tensor) -> Tensor:
    """The mean over images of |s / |s| - t / |t||^2."""
    total = torch.zeros((), dtype=torch.float64)
    for one, two in zip(mine, other, strict=True):
        difference = one / one.square().sum().sqrt() - two / two.square().sum().sqrt()
        total = total + difference.square().sum() / len(mine)
    return total


def test_it_is_the_loop_over_images() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    found = made(teacher, student)(student, held)["features"]
    with torch.no_grad():
        wanted = apart(*(features(model.double(), held.images.double()) for model in (student, teacher)))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5) and wanted > 0.1


def test_its_gradient_is_that_of_the_loop_and_reaches_all_but_the_classifier() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    made(teacher, student)(student, held)["features"].backward()
    exact = deepcopy(student).double()
    exact.zero_grad()
    with torch.no_grad():
        other = features(deepcopy(teacher).double(), held.images.double())
    apart(features(exact, held.images.double()), other).backward()
    for (name, mine), wanted in zip(student.named_parameters(), exact.parameters(), strict=True):
        if name.startswith("head"):
            assert mine.grad is None
            continue
        assert mine.grad is not None and wanted.grad is not None, name
        room = 1e-5 * max(float(p.grad.abs().max()) for p in exact.parameters() if p.grad is not None)
        torch.testing.assert_close(mine.grad.double(), wanted.grad, rtol=1e-3, atol=room)
    assert all(p.grad is None for p in teacher.parameters())


def test_how_large_features_are_does_not_count() -> None:
    student, held = vit(), batch()
    teacher = deepcopy(student)
    with torch.no_grad():
        teacher.norm.weight.mul_(5)  # its bias is zero
    assert made(teacher, student)(student, held)["features"].item() < 1e-6


def test_the_losses_of_the_task_stay_as_they_are_and_the_strength_is_a_factor() -> None:
    student, teacher, held = vit(1), vit(2), batch()
    plain = taught(teacher, student, teacher_share=1.0)(student, held)
    one, three = (made(teacher, student, strength, teacher_share=1.0)(student, held) for strength in (1.0, 3.0))
    assert one.keys() == {"teacher", "features"}
    assert torch.equal(one["teacher"], plain["teacher"]) and torch.equal(three["teacher"], plain["teacher"])
    torch.testing.assert_close(three["features"], 3 * one["features"])


def test_a_quantized_classifier_is_mimicked_before_it_snaps() -> None:
    student, teacher, held = quantize(vit(1), "w4a2"), vit(2), batch()
    found = made(teacher, student)(student, held)["features"]
    with torch.no_grad():
        wanted = apart(*(features(model, held.images).double() for model in (student, teacher)))
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_what_is_judged_in_between_is_not_taken_for_the_student() -> None:
    """A running average is a copy of the student, and listens as it does."""
    student, teacher, held = vit(1), vit(2), batch()
    task = made(teacher, student)
    first = task(student, held)["features"]
    deepcopy(student)(torch.randn(2, 3, 16, 16))
    student(torch.randn(3, 3, 16, 16))
    assert torch.equal(task(student, held)["features"], first) and not task.features


def test_of_two_heads_the_first_ones_features_count() -> None:
    student, teacher, held = distilled().train(), vit(2), batch()
    found = made(teacher, student)(student, held)["features"]
    with torch.no_grad():
        mine = student.forward_features(held.images)[:, 0]
        wanted = apart(mine.double(), features(teacher, held.images).double())
    assert found.item() == pytest.approx(wanted.item(), rel=1e-4)


def test_the_batch_is_prepared_by_the_task_inside() -> None:
    held = batch()
    assert made(vit(1), vit(2)).prepare(held) is held


def test_features_of_other_widths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"have 32 numbers and the student's 16: take .* such as --teacher self"):
        made(vit(embed_dim=32), vit())


def test_a_model_that_names_no_classifier_is_refused() -> None:
    with pytest.raises(ValueError, match="Network does not say which of its layers is the classifier"):
        made(vit(), Network())
    with pytest.raises(ValueError, match="leave out --features"):
        made(vit(num_classes=0), vit())
