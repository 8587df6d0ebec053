"""Soft cross-entropy against VVTQ's, which writes labels out: of FKD's labels as they were stored, in float32."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stillbit.distill.kinds import Kind
from stillbit.distill.losses import soft_cross_entropy
from tests.golden.conftest import Golden

CASES: dict[str, Kind] = {
    "hard": "hard",
    "smoothing": "smoothing",
    "marginal_smoothing_k5": "marginal_smoothing",
    "marginal_smoothing_k10": "marginal_smoothing",
    "marginal_renorm": "marginal_renorm",
}


def stored(held: Tensor) -> tuple[Tensor, Tensor]:
    """FKD's arrays, a number a view or classes above their probabilities."""
    if held.ndim == 1:
        return held[:, None], torch.ones(len(held), 1)
    classes, values = held.view(len(held), 2, -1).unbind(1)
    return classes.long(), values


@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradient_are_those_of_the_authors_code(
    name: str, golden: Callable[[str], Golden], close: Callable[[Tensor, Tensor, str], None]
) -> None:
    numbers = golden("softlabel")
    logits = numbers("label/logits").requires_grad_()
    loss = soft_cross_entropy(logits, *stored(numbers(f"label/{name}/in")), CASES[name]).mean()
    loss.backward()
    assert logits.grad is not None
    close(loss, numbers(f"label/{name}/sce"), "f32")
    close(logits.grad, numbers(f"label/{name}/sce_dlogits"), "f32")
