"""What training simulates is what integers compute, in encoders of transformers: their linears, their attention and
their tables, at 8, 4, 2 and 1 bits."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit import Plan, per_head
from stillbit.layers import attention, interface_attention
from stillbit.layers.conv import QuantConv2d
from stillbit.layers.embedding import QuantEmbedding
from stillbit.layers.linear import QuantLinear
from stillbit.layers.product import inner
from stillbit.layers.walk import quantized
from stillbit.quantizers import Latent
from tests.contracts.test_integer_product import (
    assert_integer_convolution,
    assert_integers,
    operands,
    record,
    running,
)
from tests.surgery import tiny, tiny_hf

BITS = (8, 4, 2, 1)
CELLS = [(bits, torch.float32) for bits in BITS] + [(2, torch.bfloat16)]
every_family = pytest.mark.parametrize("family", tiny_hf.FAMILIES)
every_cell = pytest.mark.parametrize(("bits", "dtype"), CELLS, ids=str)


@lru_cache
def calibrated(family: str, bits: int) -> nn.Module:
    torch.manual_seed(0)
    model = stillbit.quantize(tiny_hf.FAMILIES[family]().eval(), Plan.uniform(bits, bits, granularity=per_head))
    stillbit.calibrate(model, [tiny.images()])
    return model


@every_cell
@every_family
def test_every_layer_is_an_integer_product(family: str, bits: int, dtype: torch.dtype) -> None:
    model = calibrated(family, bits)
    calls, hooks = record(model, (QuantLinear, QuantConv2d))
    with torch.no_grad(), running(dtype):
        model(tiny.images())
        for hook in hooks:
            hook.remove()
        assert len(calls) == sum(1 for _, m in quantized(model) if isinstance(m, QuantLinear | QuantConv2d))
        for _, layer, args, y in calls:
            if isinstance(layer, QuantConv2d):
                assert_integer_convolution(y, layer, args[0])
            else:
                assert_integers(y, *operands(layer, args[0]), layer.bias)


@every_cell
@every_family
def test_both_products_of_attention_are_integer_products(
    family: str, bits: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    products: list[tuple[Tensor, Latent, Latent]] = []

    def noted(a: Latent, b: Latent, *bias: Any) -> Tensor:
        y = inner(a, b, *bias)
        products.append((y.clone(), a, b))
        return y

    model = calibrated(family, bits)
    for room in (attention, interface_attention):
        monkeypatch.setattr(room, "inner", noted)
    with torch.no_grad(), running(dtype):
        model(tiny.images())
    assert len(products) == 2, "query times key, and probabilities times value"
    for y, a, b in products:
        assert a.grid is not None and b.grid is not None and {a.grid.bits, b.grid.bits} == {bits}
        assert_integers(y, a, b)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("family", ["hf_bert", "hf_roberta", "hf_distilbert"])
def test_a_row_of_a_table_is_its_codes_times_its_scale(family: str, bits: int) -> None:
    plan = Plan.uniform(bits, bits, ends=bits)
    model = stillbit.quantize(tiny_hf.FAMILIES[family]().eval(), plan)
    calls, _ = record(model, (QuantEmbedding,))
    with torch.no_grad():
        model(tiny.images())
    assert len(calls) == (2 if family == "hf_distilbert" else 3)
    for _, layer, args, y in calls:
        table = layer.weight_quantizer(layer.weight)
        level = (table.code() + layer.weight_quantizer.grid.offset)[args[0]]
        assert torch.equal(y, level * table.scale[args[0]])
        assert table.scale.shape == (layer.num_embeddings, 1)
        assert layer.weight_quantizer.grid.bits == bits
