"""How a float layer takes quantizers in and gives them back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from stillbit.layers.base import QuantLayer
from stillbit.layers.conv import QuantConv2d
from stillbit.layers.linear import QuantLinear
from stillbit.quantizers import LSQ, Grid


def quantizer(bits: int = 4) -> LSQ:
    return LSQ(Grid(bits), (1,))


def adopted(original: nn.Module, **quantizers: nn.Module | None) -> Any:
    return QuantLinear.adopt(original, **quantizers)


def test_an_adopted_layer_is_of_both_classes_and_shares_every_tensor() -> None:
    original = nn.Linear(3, 2)
    layer = adopted(original, weight_quantizer=quantizer())
    assert isinstance(layer, QuantLinear) and isinstance(layer, nn.Linear) and isinstance(layer, QuantLayer)
    assert layer.weight is original.weight and layer.bias is original.bias
    assert layer.float_class is nn.Linear and layer.input_quantizer is None


def test_a_subclass_returns_to_its_own_class() -> None:
    class Mine(nn.Linear):
        pass

    original = Mine(3, 2)
    original.note = "kept"  # type: ignore[assignment]
    layer = adopted(original, weight_quantizer=quantizer())
    assert type(layer.release()) is Mine and layer.note == layer.release().note == "kept"


def test_a_new_child_or_parameter_on_either_does_not_show_on_the_other() -> None:
    original = nn.Linear(3, 2)
    layer = adopted(original)
    layer.extra = nn.Linear(1, 1)
    layer.register_buffer("more", torch.zeros(1))
    layer.register_forward_hook(lambda *_: None)
    assert not list(original.children()) and not list(original.buffers()) and not original._forward_hooks


def test_hooks_parameters_without_gradient_and_mode_come_along() -> None:
    original, calls = nn.Linear(3, 2), []
    original.register_forward_hook(lambda *_: calls.append(1))
    original.weight.requires_grad_(False)
    layer = adopted(original.eval(), weight_quantizer=quantizer())
    layer(torch.randn(1, 3))
    assert calls == [1] and not layer.weight.requires_grad and not layer.training


def test_a_buffer_that_is_not_saved_stays_so() -> None:
    original = nn.Linear(3, 2)
    original.register_buffer("table", torch.zeros(1), persistent=False)
    layer = adopted(original)
    assert "table" not in layer.state_dict() and "table" not in layer.release().state_dict()


def test_quantizers_are_listed_by_role() -> None:
    weight, tokens = quantizer(2), quantizer(3)
    layer = adopted(nn.Linear(3, 2), weight_quantizer=weight, input_quantizer=tokens)
    assert layer.quantizers() == {"weight": weight, "input": tokens}
    assert adopted(nn.Linear(3, 2), input_quantizer=tokens).quantizers() == {"input": tokens}


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (adopted(nn.Linear(3, 2), weight_quantizer=quantizer(2)), "in_features=3, out_features=2, bias=True, weight=2"),
        (adopted(nn.Linear(3, 2)), "in_features=3, out_features=2, bias=True, float"),
        (
            QuantConv2d.adopt(nn.Conv2d(1, 2, 3), weight_quantizer=quantizer()),
            "stride=(1, 1), weight=4",
        ),
    ],
)
def test_the_words_of_the_float_layer_are_followed_by_the_bits(layer: nn.Module, words: str) -> None:
    assert layer.extra_repr().endswith(words)


def test_an_unknown_role_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match=r"QuantLinear has no \['query_quantizer'\]"):
        adopted(nn.Linear(3, 2), query_quantizer=quantizer())
