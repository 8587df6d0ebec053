"""Torch's operations in the words of a program, each against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stillbit.deploy.program import OPERATIONS
from stillbit.deploy.runtime import reference
from stillbit.deploy.trace import trace


class Does(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: (-(x + 1) * 2 - x / 3).abs().sqrt() + torch.rsqrt(x.square() + 1) - x.exp(),
    "squashing": lambda x: x.sigmoid() + x.tanh() + F.silu(x) + F.hardswish(x) + F.hardsigmoid(x) + F.relu6(x),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "softmax": lambda x: x.softmax(1) + x.softmax(-1),
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]) + F.layer_norm(x, x.shape[-2:]),
    "reductions": lambda x: x.mean((2, 3)) + x.sum((2, 3)) + x.amax((2, 3)) + x.norm(dim=-1).sum(-1),
    "normalised": lambda x: F.normalize(x, dim=-1),
    "moves": lambda x: torch.cat([x.permute(0, 1, 3, 2).flatten(1), x.unflatten(1, (2, 2))[:, 1].flatten(1)], 1),
    "pieces": lambda x: x.unbind(1)[2] + x.split([1, 3], 1)[1].chunk(3, 1)[0].squeeze(1) + x[:, 1:-1].select(1, 0),
    "stack and roll": lambda x: torch.stack([x, x.roll((1, -2), (2, 3))], 2).flatten(1),
    "every other": lambda x: x[:, 1::2] + x[:, ::2],
    "padding": lambda x: F.pad(x, (1, 2, 0, 3)),
    "a row a token": lambda x: x[:, :, torch.tensor([5, 0, 3])].repeat_interleave(2, 1),
    "wide": lambda x: x[:, :, :1].expand(-1, -1, 6, -1) + x,
    "matmul": lambda x: x @ x.mT,
    "windows": lambda x: F.max_pool2d(x, 3, 2, 1).mean((2, 3)) + F.avg_pool2d(x, 2).mean((2, 3)),
    "rounded up": lambda x: (
        F.avg_pool2d(x[..., :5, :5], 2, 2, 0, True, False) + F.max_pool2d(x[..., :5], (2, 2), 2, 0, 1, True)
    ),
    "padded mean": lambda x: F.avg_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "one pixel": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "choices": lambda x: torch.where(x > 0, x, torch.where(x <= -1, -1.0, x * 0.5)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_means_what_torch_means(name: str) -> None:
    model, x = Does(FUNCTIONS[name]), torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    program = trace(model, x[:2])
    assert {step.op for step in program.steps} <= set(OPERATIONS) == set(reference.OPERATIONS)
    with torch.no_grad():
        want = model(x).numpy()
    np.testing.assert_allclose(reference.run(program, x.numpy()), want, rtol=2e-6, atol=2e-6, equal_nan=True)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False),
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)),
        nn.Linear(6, 5),
        nn.Linear(6, 5, bias=False),
    ],
    ids=str,
)
def test_float_layers_stay_float(layer: Any) -> None:
    x = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))
    layer(x)  # running means that are not zero
    program = trace(layer.eval(), x[:2])
    with torch.no_grad():
        np.testing.assert_allclose(reference.run(program, x.numpy()), layer(x).numpy(), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "reflect"),
        (lambda x: F.adaptive_avg_pool2d(x, 2), "to more than one pixel"),
        (lambda x: torch.add(x, x, alpha=2), "add with a factor"),
        (lambda x: x.cumsum(1), "aten.cumsum.default"),
    ],
)
def test_what_cannot_be_deployed_is_said(function: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        trace(Does(function), torch.randn(2, 4, 6, 6))
    assert said in str(caught.value) and "\n" not in str(caught.value)
