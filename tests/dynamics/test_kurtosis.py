from __future__ import annotations

import numpy as np
import pytest
import torch

from stillbit.dynamics.kurtosis import UNIFORM, Kurtosis, kurtosis
from tests.dynamics import small


def test_the_kurtosis_is_the_fourth_moment_over_the_squared_variance() -> None:
    weight = torch.randn(7, 11, dtype=torch.float64) + 3
    w = weight.numpy()
    total = 0.0
    for value in w.flatten():
        total += ((value - w.mean()) / w.std()) ** 4
    assert kurtosis(weight).item() == pytest.approx(total / w.size, rel=1e-12)


def test_known_distributions_have_their_kurtosis() -> None:
    assert kurtosis(torch.linspace(-1, 1, 100_001).double()).item() == pytest.approx(UNIFORM, abs=1e-4)
    assert kurtosis(torch.randn(400_000)).item() == pytest.approx(3, abs=0.05)
    assert kurtosis(torch.tensor([-1.0, 1.0])).item() == 1


def test_the_penalty_is_the_mean_over_layers_of_the_squared_distance() -> None:
    model = small.vit()
    each = [kurtosis(w.parameter).item() for w in small.low(model).values()]
    assert Kurtosis(model)().item() == pytest.approx(np.mean([(k - 1.8) ** 2 for k in each]), rel=1e-5)
    assert Kurtosis(model, target=2.5)().item() == pytest.approx(np.mean([(k - 2.5) ** 2 for k in each]), rel=1e-5)


def test_its_gradient_is_that_of_finite_differences() -> None:
    weight = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: (kurtosis(w) - UNIFORM).square(), weight)


def test_it_reshapes_normal_weights_towards_uniform_ones() -> None:
    model = small.vit(weight="statsq")
    weight = small.low(model)["blocks.0.mlp.fc1"].parameter
    torch.nn.init.normal_(weight)
    penalty = Kurtosis(model)
    optimizer = torch.optim.Adam([w.parameter for w in penalty.weights], lr=0.05)
    assert kurtosis(weight) > 2.7
    for _ in range(60):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert kurtosis(weight).item() == pytest.approx(UNIFORM, abs=0.1)


def test_a_layer_of_zeros_stays_finite() -> None:
    weight = torch.zeros(3, 3, requires_grad=True)
    (kurtosis(weight) - UNIFORM).square().backward()
    assert weight.grad.isfinite().all()
