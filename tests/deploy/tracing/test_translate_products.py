"""Products of floats, against torch; those of codes are in test_trace.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stillbit.deploy.tracing.trace import trace
from tests.deploy.does import Does, X, means_the_same, operations

HIDDEN = torch.eye(6, dtype=torch.bool)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4, bias=False),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.Sequential(nn.Conv2d(4, 6, 1), nn.BatchNorm2d(6)),
        nn.Linear(6, 5),
        nn.Linear(6, 5, bias=False),
    ],
    ids=str,
)
def test_float_layers_stay_float(layer: Any) -> None:
    layer(X)  # running means that are not zero
    assert not {"product", "convolution", "quantize"} & set(operations(means_the_same(layer)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x @ x.mT,
        lambda x: F.scaled_dot_product_attention(x, x + 1, x - 1),
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=torch.eye(6), scale=0.3),
        lambda x: F.scaled_dot_product_attention(x, x, x, attn_mask=~HIDDEN),
    ],
)
def test_a_product_means_what_torch_means(function: Callable[[Tensor], Tensor]) -> None:
    means_the_same(function)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), "attention that is causal"),
        (lambda x: F.conv_transpose2d(x, torch.ones(4, 2, 2, 2)), "conv_transpose2d|a transposed convolution"),
        (lambda x: F.linear(x, x[0, 0]), "its weights depend on the input"),
    ],
)
def test_what_cannot_be_deployed_is_said(function: Callable[[Tensor], Tensor], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        trace(Does(function), X)
    assert "\n" not in str(caught.value)
