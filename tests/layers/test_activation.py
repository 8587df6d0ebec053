"""A quantizer in a place of its own."""

from __future__ import annotations

import pytest
import torch

from stillbit.layers.activation import QuantActivation
from stillbit.quantizers import LSQ, Grid


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 4, 5)])
def test_it_snaps_a_tensor_of_any_shape(shape: tuple[int, ...]) -> None:
    layer = QuantActivation(LSQ(Grid(4), (1,)))
    x = torch.randn(shape) if shape else torch.randn(1)
    assert layer.input_quantizer is not None
    assert torch.equal(layer(x), layer.input_quantizer(x).value())


def test_it_trains_its_scale() -> None:
    layer = QuantActivation(LSQ(Grid(2), (1,)))
    x = torch.randn(10, requires_grad=True)
    (layer(x) * torch.randn(10)).sum().backward()
    assert x.grad is not None and all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_without_quantizer_everything_passes_as_it_is() -> None:
    x = torch.randn(3)
    assert QuantActivation(None)(x) is x


def test_its_words_are_its_bits() -> None:
    assert QuantActivation(LSQ(Grid(4), (1,))).extra_repr() == "input=4"
    assert QuantActivation(None).extra_repr() == "float"


def test_it_is_released_as_something_that_lets_pass() -> None:
    x = torch.randn(3)
    assert torch.equal(QuantActivation(LSQ(Grid(4), (1,))).release()(x), x)
