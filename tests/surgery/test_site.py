"""What a place for quantizers knows of itself."""

from __future__ import annotations

import pytest
from torch import nn

from stillbit.layers.conv import QuantConv2d
from stillbit.layers.embedding import QuantEmbedding
from stillbit.layers.linear import QuantLinear
from stillbit.surgery.site import Site, weight_site
from tests.surgery import tiny


@pytest.mark.parametrize(
    ("module", "role", "layer"),
    [
        (nn.Linear(2, 2), "linear", QuantLinear),
        (nn.Conv2d(2, 2, 1), "conv", QuantConv2d),
        (nn.Embedding(2, 2), "embedding", QuantEmbedding),
    ],
)
def test_a_weight_layer_knows_its_kind(module: nn.Module, role: str, layer: type) -> None:
    site = weight_site("a.b", module, ("fc1",), "unsigned", tokens=5)
    assert site == Site("a.b", module, ("fc1", role), layer, range="unsigned", tokens=5)
    assert not site.is_attention


def test_a_site_of_something_without_a_weight_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="norm is a LayerNorm, not a weight layer"):
        weight_site("norm", nn.LayerNorm(2), ())


def test_an_attention_is_a_site_with_heads() -> None:
    attention = tiny.vit(depth=1).blocks[0].attn
    assert Site("attn", attention, ("attention",), QuantLinear, num_heads=3, width=16).is_attention
