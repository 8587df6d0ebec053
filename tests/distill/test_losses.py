"""What a label of a few classes costs is what the whole label costs, and so are its gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from stillbit.distill.kinds import KINDS, MOST, Kind
from stillbit.distill.layout import Layout, dense, fill
from stillbit.distill.losses import distillation, hard_distillation, soft_cross_entropy
from stillbit.distill.replay import answers


def costs_and_gradient(costs: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(costs.mean(), logits)
    return costs.detach(), gradient


def both(layout: Layout, records: np.ndarray[Any, Any], logits: Tensor) -> tuple[tuple[Tensor, ...], ...]:
    """Of the records, and of the label written out."""
    logits = logits.double().requires_grad_()
    ours = soft_cross_entropy(logits, *answers(records), layout.kind)
    wanted = -(torch.from_numpy(dense(records, layout)) * logits.log_softmax(-1)).sum(-1)
    return costs_and_gradient(ours, logits), costs_and_gradient(wanted, logits)


@given(
    st.sampled_from(KINDS),
    st.integers(1, 40),
    st.integers(2, 60),
    st.integers(1, 5),
    st.sampled_from([0.01, 1.0, 30.0]),
)
def test_a_stored_label_costs_what_the_whole_one_does(
    kind: Kind, k: int, classes: int, views: int, sharp: float
) -> None:
    layout = Layout(kind=kind, top_k=k, classes=classes)
    chance = torch.Generator().manual_seed(k * classes)
    records = np.zeros(views, layout.dtype)
    fill(records, (torch.randn(views, classes, generator=chance) * sharp).softmax(-1), layout)
    ours, wanted = both(layout, records, torch.randn(views, classes, generator=chance) * 9)
    for mine, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_so_it_is_with_a_hundred_of_seventy_thousand_classes(kind: Kind) -> None:
    layout = Layout(kind=kind, top_k=MOST, classes=70_000)
    records = np.zeros(2, layout.dtype)
    fill(records, (torch.randn(2, 70_000) * 3).softmax(-1), layout)
    ours, wanted = both(layout, records, torch.randn(2, 70_000))
    for mine, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_that_add_up_to_more_than_one_in_16_bits_leave_nothing_for_the_others(kind: Kind) -> None:
    layout = Layout(kind=kind, top_k=3, classes=5)
    records = np.zeros(1, layout.dtype)
    fill(records, torch.tensor([[0.4, 0.35, 0.26, 0.0, 0.0]]), layout)
    ours, wanted = both(layout, records, torch.randn(1, 5))
    for mine, other in zip(ours, wanted, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_what_is_too_small_for_16_bits_costs_nothing_and_is_no_nan() -> None:
    classes, nothing = torch.tensor([[0, 2]]), torch.zeros(1, 2, dtype=torch.float16)
    assert soft_cross_entropy(torch.randn(1, 4), classes, nothing, "marginal_renorm").item() == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_compared_in_float32(dtype: torch.dtype) -> None:
    logits, other = torch.randn(3, 50).to(dtype), torch.randn(3, 50).to(dtype)
    classes, values = torch.randint(50, (3, 4)), torch.rand(3, 4).half() / 4
    stored = soft_cross_entropy(logits, classes, values, "marginal_smoothing")
    assert stored.dtype == torch.float32
    assert torch.equal(stored, soft_cross_entropy(logits.float(), classes, values, "marginal_smoothing"))
    assert torch.equal(distillation(logits, other, 2.0), distillation(logits.float(), other.float(), 2.0))
    assert torch.equal(hard_distillation(logits, other), hard_distillation(logits.float(), other.float()))


def test_large_logits_stay_finite() -> None:
    logits = (torch.randn(2, 10) * 1e4).requires_grad_()
    costs = soft_cross_entropy(logits, torch.tensor([[1], [2]]), torch.full((2, 1), 0.5).half(), "smoothing")
    costs.sum().backward()
    assert costs.isfinite().all() and logits.grad is not None and logits.grad.isfinite().all()


# ------------------------------------------------------------------------------------------ a teacher that is there


@pytest.mark.parametrize("temperature", [1.0, 4.0, 0.5])
def test_distillation_goes_where_the_divergence_goes(temperature: float) -> None:
    logits, teacher = torch.randn(4, 7, dtype=torch.float64, requires_grad=True), torch.randn(4, 7, dtype=torch.float64)
    soft = (teacher / temperature).softmax(-1)
    wanted = kl_div((logits / temperature).log_softmax(-1), soft, reduction="none").sum(-1) * temperature**2
    ours = distillation(logits, teacher, temperature)
    (mine,), (other,) = (torch.autograd.grad(c.mean(), logits) for c in (ours, wanted))
    torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-14)
    entropy = -(soft * soft.log()).sum(-1) * temperature**2
    torch.testing.assert_close(ours, wanted + entropy, rtol=1e-12, atol=1e-12)


def test_at_temperature_one_it_is_the_cost_of_the_same_answer_stored() -> None:
    logits, teacher = torch.randn(4, 7, dtype=torch.float64), torch.randn(4, 7, dtype=torch.float64)
    stored = soft_cross_entropy(logits, None, teacher.softmax(-1), "full")
    torch.testing.assert_close(distillation(logits, teacher), stored, rtol=1e-12, atol=0)


def test_hard_distillation_takes_the_likeliest_class_for_the_label() -> None:
    logits, teacher = torch.randn(4, 7), torch.randn(4, 7)
    torch.testing.assert_close(hard_distillation(logits, teacher).mean(), cross_entropy(logits, teacher.argmax(1)))
