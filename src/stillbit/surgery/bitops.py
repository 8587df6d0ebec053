"""BitOPs: what a model's products cost at the bits they have, as a number that training can bring down.

    BitOPs = sum over products of  MACs * bits of one side * bits of the other

A product whose bits differ from head to head weighs each head by its share of the MACs. What is float counts with 32
bits. Learned bits (Q-ViT, arXiv 2201.07703) keep their gradient on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.walk import quantized, quantizers
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.grid import FLOAT_BITS
from stillbit.quantizers.learned_bits import FEWEST, LearnedBits
from stillbit.surgery import macs

MOST_AXES = 4
"""Blocks are the shape of a part of a tensor, and no tensor here has more axes (a kernel has as many)."""


class Product(NamedTuple):
    """The MACs of one product, and the quantizers of its two sides; None is float."""

    macs: float
    left: Quantizer | None
    right: Quantizer | None

    def bitops(self) -> Float[Tensor, ""] | float:
        """Sides that are cut alike meet block by block; where one is whole it meets every block of the other."""
        both = _bits(self.left) * _bits(self.right)
        return self.macs * (both.mean() if isinstance(both, Tensor) else both)

    def least(self) -> float:
        """With the fewest bits that can be learned."""
        fewest = [FEWEST if _is_learned(q) else _bits(q) for q in (self.left, self.right)]
        return self.macs * float(fewest[0] * fewest[1])


def bitops(model: nn.Module, example: Any = None) -> Float[Tensor, ""]:
    """BitOPs of one sample; ``example`` is an input, by default one image of the model's own size."""
    return _total(products(model, example))


def products(model: nn.Module, example: Any = None) -> tuple[Product, ...]:
    """Every product of the model; all that no quantized layer computes is one, and float."""
    return counted_products(model, macs.count(model, example))


def counted_products(model: nn.Module, counted: macs.Macs) -> tuple[Product, ...]:
    """The same, where the MACs are known: they do not depend on the bits."""
    layers = dict(quantized(model))
    inside = sum(counted.by_module.get(name, 0) for name in layers)
    found = [Product(counted.total - inside, None, None)]
    for name, layer in layers.items():
        found += _of_layer(counted.by_module.get(name, 0), name, layer, layers)
    return tuple(found)


def learned_bits(model: nn.Module) -> Iterator[tuple[str, str, LearnedBits]]:
    """Every quantizer whose bits are learned: the name of its layer, its role there, itself."""
    for name, role, quantizer in quantizers(model):
        if isinstance(quantizer, LearnedBits):
            yield name, role, quantizer


@final
class Budget:
    """max(BitOPs / 1e9 - budget, 0)^2: a penalty that presses learned bits into a budget.

    The paper begins at 5 bits, takes a strength of 0.1, and for DeiT-T at 4 bits a budget of 21.455.
    """

    name: ClassVar[str] = "budget"

    def __init__(self, model: nn.Module, budget_gbitops: float, example: Any = None) -> None:
        """Count ``model``, the bare one, once; afterwards a call costs only the sum."""
        if not any(True for _ in learned_bits(model)):
            raise ValueError(
                "a budget is for bits that are learned, and this model has none: "
                "give its plan specs such as Spec(5, 'learned_bits')"
            )
        self.products = products(model, example)
        self.budget_gbitops = budget_gbitops
        least = sum(product.least() for product in self.products) / 1e9
        if not budget_gbitops >= least:
            raise ValueError(
                f"a budget of {budget_gbitops:g} G BitOPs cannot be met, with {FEWEST} bits everywhere the model needs "
                f"{least:.4g} G: give at least that"
            )

    def gbitops(self) -> Float[Tensor, ""]:
        """What the model costs now, in 1e9 BitOPs."""
        return _total(self.products) / 1e9

    def __call__(self) -> Float[Tensor, ""]:
        """Zero within the budget, and the square of what is above it."""
        return (self.gbitops() - self.budget_gbitops).clamp_min(0).square()


def _total(found: tuple[Product, ...]) -> Tensor:
    return torch.as_tensor(sum(product.bitops() for product in found), dtype=torch.float64)


def _of_layer(number: int, name: str, layer: QuantLayer, layers: dict[str, QuantLayer]) -> list[Product]:
    held = layer.quantizers()
    if isinstance(layer, QuantAttention):
        key, scores = held.get("key"), number / 2
        if isinstance(layer, MergedAttention):  # its key is the input, and as long
            key = layer.qk.quantizers().get("input") if isinstance(layer.qk, QuantLayer) else None
            longer = layer.qk.in_features * layer.num_heads / layer.v.out_features
            scores = number * longer / (1 + longer)
        mixing = Product(number - scores, held.get("probability"), held.get("value"))
        return [Product(scores, held.get("query"), key), mixing]
    source = layers[f"{name.rpartition('.')[0]}.qk"] if layer.shares_input else layer
    return [Product(number, held.get("weight"), source.quantizers().get("input"))]


def _bits(quantizer: Quantizer | None) -> Tensor | float:
    """A number, or for learned bits a tensor: the runs of a layer first, then its blocks, aligned to the last axes."""
    if quantizer is None:
        return FLOAT_BITS
    if not _is_learned(quantizer):
        return quantizer.grid.bits
    runs = [part.width() for part in quantizer.parts() if isinstance(part, LearnedBits)]
    shape = (len(runs), *(1,) * (MOST_AXES - len(quantizer.blocks)), *quantizer.blocks)
    return torch.stack(runs).reshape(shape).double()


def _is_learned(quantizer: Quantizer | None) -> bool:
    return quantizer is not None and isinstance(quantizer.parts()[0], LearnedBits)
