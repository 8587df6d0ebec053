"""A convolution of two quantized tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillbit.layers.conv import QuantConv2d
from stillbit.quantizers import LSQ, Grid, LSQPlus


def layer(shifted: bool = False, **options: Any) -> Any:
    torch.manual_seed(0)
    original = nn.Conv2d(4, 6, 3, **options)
    tokens = LSQPlus(Grid(4, signed=False), (1,)) if shifted else LSQ(Grid(4), (1,))
    weight = LSQ(Grid(3), (6, 1, 1, 1))
    weight.start(original.weight)
    return QuantConv2d.adopt(original, weight_quantizer=weight, input_quantizer=tokens).double()


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": 1},
        {"padding": (2, 0), "stride": (1, 2)},
        {"padding": 1, "groups": 2, "bias": False},
        {"padding": 2, "dilation": 2},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": (1, 2), "padding_mode": "circular"},
        {"padding": "valid"},
        {"padding": "same"},
    ],
    ids=str,
)
def test_it_computes_a_convolution_of_values(options: dict[str, Any], shifted: bool) -> None:
    of, x = layer(shifted, **options), torch.randn(2, 4, 7, 9, dtype=torch.float64)
    image, kernel = of.input_quantizer(x).value(), of.weight_quantizer(of.weight).value()
    expected = of._conv_forward(image, kernel, of.bias)
    torch.testing.assert_close(of(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [{"padding": 1}, {"padding": "same"}, {"padding": 1, "padding_mode": "reflect"}])
def test_a_single_image_without_a_batch_is_taken_as_torch_takes_it(options: dict[str, Any]) -> None:
    of, x = layer(**options), torch.randn(4, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(of(x), of(x[None])[0])
    of(x).sum().backward()


def test_without_quantizers_it_is_the_float_layer() -> None:
    original = nn.Conv2d(4, 6, 3, padding="same")
    x = torch.randn(2, 4, 7, 9)
    assert torch.equal(QuantConv2d.adopt(original)(x), original(x))


def test_padding_of_a_shifted_image_takes_no_shift() -> None:
    """At the border fewer values than elsewhere are shifted, so the shift is no constant of the output."""
    of = layer(shifted=True, padding=1, bias=False)
    x = torch.full((1, 4, 5, 5), of.input_quantizer.shift.item(), dtype=torch.float64)
    y = of(x)
    value = of.input_quantizer(x).value()
    torch.testing.assert_close(y, F.conv2d(value, of.weight_quantizer(of.weight).value(), padding=1))
    assert not torch.allclose(y[..., 0, 0], y[..., 2, 2])
