"""A linear layer of two quantized tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stillbit.layers.linear import QuantLinear, latent, linear
from stillbit.quantizers import LSQ, Grid, Latent, LSQPlus, Quantizer


def layer(bias: bool = True, shifted: bool = False) -> QuantLinear:
    tokens: Quantizer = LSQPlus(Grid(4, signed=False), (1,)) if shifted else LSQ(Grid(4), (1,))
    return QuantLinear(6, 4, bias, weight_quantizer=LSQ(Grid(3), (4, 1)), input_quantizer=tokens)


def values(of: QuantLinear, x: torch.Tensor) -> torch.Tensor:
    """What the layer means, written with values."""
    assert of.weight_quantizer is not None and of.input_quantizer is not None
    return F.linear(of.input_quantizer(x).value(), of.weight_quantizer(of.weight).value(), of.bias)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 5, 6), (2, 3, 5, 6)])
def test_it_computes_a_linear_of_values_for_every_number_of_axes(
    shape: tuple[int, ...], bias: bool, shifted: bool
) -> None:
    of, x = layer(bias, shifted).double(), torch.randn(shape, dtype=torch.float64)
    y = of(x)
    assert y.shape == (*shape[:-1], 4)
    torch.testing.assert_close(y, values(of, x), rtol=1e-12, atol=1e-12)
    y.sum().backward()
    assert of.weight.grad is not None and of.weight.grad.shape == (4, 6)


def test_without_quantizers_it_is_the_float_layer() -> None:
    of, x = QuantLinear(6, 4), torch.randn(5, 6)
    assert torch.equal(of(x), F.linear(x, of.weight, of.bias)) and of.float_class is nn.Linear


def test_attention_may_hand_in_another_bias() -> None:
    of, x = layer().double(), torch.randn(5, 6, dtype=torch.float64)
    other = torch.randn(4, dtype=torch.float64)
    assert of.bias is not None
    torch.testing.assert_close(of(x, other) - other, of(x) - of.bias)
    torch.testing.assert_close(linear(of, x, other), of(x, other))
    plain = nn.Linear(6, 4).double()
    torch.testing.assert_close(linear(plain, x, other), F.linear(x, plain.weight, other))


def test_tokens_that_are_quantized_already_are_not_quantized_again() -> None:
    of, x = layer(), torch.randn(5, 6)
    assert of.input_quantizer is not None
    ready = of.input_quantizer(x)
    of.input_quantizer = None
    torch.testing.assert_close(of(ready), layer_like(of, ready)(x))
    plain = nn.Linear(6, 4)
    torch.testing.assert_close(linear(plain, ready, plain.bias), F.linear(ready.value(), plain.weight, plain.bias))


def layer_like(of: QuantLinear, ready: Latent) -> QuantLinear:
    twin = layer()
    twin.load_state_dict(of.state_dict(), strict=False)
    assert isinstance(twin.input_quantizer, LSQ) and ready.scale is not None
    with torch.no_grad():
        twin.input_quantizer.scale.copy_(ready.scale)
    return twin


def test_a_tensor_without_quantizer_is_a_latent_without_grid() -> None:
    x = torch.randn(3)
    assert latent(None, x) == Latent(x)
    assert latent(LSQ(Grid(4), (1,)), x).grid == Grid(4)


def test_scales_for_some_tokens_do_not_serve_a_multiple_of_them() -> None:
    """A model calibrated at one resolution and run at another must not share scales between neighbours by accident."""
    layer = QuantLinear(3, 2, input_quantizer=LSQ(Grid(4), (4, 1)))
    assert layer(torch.randn(2, 4, 3)).shape == (2, 4, 2)
    with pytest.raises(ValueError, match=r"scales for 4 tokens, and 8 came in.*use per_tensor"):
        layer(torch.randn(2, 8, 3))
