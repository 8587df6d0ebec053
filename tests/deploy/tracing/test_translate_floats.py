"""Operations on floats, against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stillbit.deploy.tracing.trace import trace
from tests.deploy.does import Does, X, means_the_same

EVERY = torch.ones(6, dtype=torch.bool)
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "arithmetic": lambda x: (-(x + 1) * 2 - x / 3).abs().sqrt() + torch.rsqrt(x.square() + 1) - x.exp(),
    "powers": lambda x: x**2 + x**3 + x.abs() ** 0.5,
    "squashing": lambda x: x.sigmoid() + x.tanh() + F.silu(x) + F.hardswish(x) + F.hardsigmoid(x) + F.relu6(x),
    "gelu": lambda x: F.gelu(x) + F.gelu(x, approximate="tanh"),
    "softmax": lambda x: x.softmax(1) + x.softmax(-1),
    "layer norm": lambda x: F.layer_norm(x, x.shape[-1:]) + F.layer_norm(x, x.shape[-2:]),
    "reductions": lambda x: x.mean((2, 3)) + x.sum((2, 3)) + x.amax((2, 3)) + x.norm(dim=-1).sum(-1),
    "normalised": lambda x: F.normalize(x, dim=-1),
    "windows": lambda x: F.max_pool2d(x, 3, 2, 1).mean((2, 3)) + F.avg_pool2d(x, 2).mean((2, 3)),
    "rounded up": lambda x: (
        F.avg_pool2d(x[..., :5, :5], 2, 2, 0, True, False) + F.max_pool2d(x[..., :5], (2, 2), 2, 0, 1, True)
    ),
    "padded mean": lambda x: F.avg_pool2d(x, 3, 2, 1) + F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "one pixel": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "one after the other": lambda x: x.cumsum(1) + x.cumsum(-1),
    "yes and no": lambda x: (
        x.masked_fill(x > 1, 0.5).masked_fill(~(x < -1), torch.tensor(2.0))
        + ((x > 0) & (x < 1)).float()
        + ((x > 0) & EVERY).float() * (EVERY & ~(x > 1)).logical_not()
        + torch.where((x > 0).logical_not(), x, (~(x == x[:, :1])).float())
        + (x != 0.0) * x
    ),
    "choices": lambda x: torch.where(x > 0, x, torch.where(x <= -1, -1.0, x * 0.5)) + (x < 0.5) * x + (x > 1).float(),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_operation_means_what_torch_means(name: str) -> None:
    means_the_same(FUNCTIONS[name])


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.GroupNorm(1, 4), nn.LayerNorm(6)], ids=str)
def test_norms_use_what_they_have_learned(layer: Any) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(torch.randn_like(parameter))
        layer(X)  # running means that are not zero
    means_the_same(layer)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, 2), "to more than one pixel"),
        (lambda x: F.max_pool2d(x, 2, dilation=2), "max pooling with a dilation"),
        (lambda x: F.batch_norm(x, None, None, training=True), "batch norm by the statistics of the batch"),
        (lambda x: torch.add(x, x, alpha=2), "add with a factor"),
        (lambda x: x.abs() ** 0.3, "the power of 0.3"),
        (lambda x: (x > 0).int() & (x < 1).int(), "bits of whole numbers cannot be deployed"),
        (lambda x: ~(x > 0).int(), "the opposite of what is not yes or no"),
        (lambda x: x.norm(p=1, dim=-1), "only norms of order 2"),
        (lambda x: x.cumprod(1), "the model computes aten.cumprod.default, which stillbit cannot deploy yet"),
    ],
)
def test_what_cannot_be_deployed_is_said(function: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        trace(Does(function), X)
    assert said in str(caught.value) and "\n" not in str(caught.value)
