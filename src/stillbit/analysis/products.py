"""Every product of a model, one by one: its multiplications, its bits, and the bytes that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from stillbit.analysis.parts import WeightLayer, weight_layers
from stillbit.analysis.probabilities import Probabilities
from stillbit.analysis.twin import float_twin, open_twin
from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.interface_attention import InterfaceAttention
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.walk import quantized, quantizers
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.grid import FLOAT_BITS
from stillbit.quantizers.moved import Moved
from stillbit.surgery import bitops, macs
from stillbit.surgery.bitops import Product
from stillbit.surgery.macs import Macs
from stillbit.surgery.site import below

Kind = Literal["weight", "scores", "mixing", "elsewhere"]


@dataclass(frozen=True, kw_only=True)
class LayerCost:
    """One product of one layer, for one image or one text."""

    layer: str
    """Empty for what no layer that can be quantized computes."""
    role: str
    product: Kind
    """Input times weight; query times key; probability times value; or a product that no quantizer reaches."""
    macs: float
    left_bits: float
    """Of the weight, the query, the probability; 32 is float."""
    right_bits: float
    """Of the input, the key, the value."""
    bitops: float
    weight_bytes: float
    """Codes at their true width, scales and bias."""
    activation_bytes: float
    """What enters the product beside the weight, at its bits."""
    outputs: float
    """Numbers that come out, each of them rescaled ``scales`` times."""
    scales: int
    """Blocks with a scale of their own along what is summed."""
    heads: int
    """Heads along what is summed: a projection sums over all of an attention's, anything else over 1 at most."""


class _Side(NamedTuple):
    """One side of a product: its quantizer, how many numbers it has, and which axis of its blocks is summed."""

    quantizer: Quantizer | None
    numbers: float
    axis: int

    @property
    def bits(self) -> float:
        return FLOAT_BITS if self.quantizer is None else _mean_bits(self.quantizer)

    @property
    def bytes(self) -> float:
        return self.numbers * self.bits / 8

    @property
    def blocks(self) -> int:
        blocks = () if self.quantizer is None else self.quantizer.blocks
        return blocks[self.axis] if len(blocks) >= -self.axis else 1


class _Sided(NamedTuple):
    """A product of a layer before it is counted."""

    kind: Kind
    left: _Side
    right: _Side
    outputs: float


@dataclass
class Size:
    """Numbers that enter a layer and leave it for one image or text, however often it runs."""

    entering: int = 0
    leaving: int = 0


class Measured(NamedTuple):
    """What does not depend on the bits of a model: its MACs, the sizes of what runs through it, what layers are for."""

    macs: Macs
    sizes: dict[str, Size]
    weights: dict[str, WeightLayer]


def measure(model: nn.Module, example: Tensor | Mapping[str, Tensor]) -> Measured:
    """Of one image or text, as the float model runs it, which is faster."""
    opened = open_twin(float_twin(model))
    sizes = {name: Size() for name, _ in quantized(opened)}
    for name, layer in quantized(opened):
        layer.register_forward_hook(_look(sizes[name]))
    # Counting runs a copy of the twin, which takes the hooks along; attention that is open calls its linears.
    with Probabilities(opened):
        counted = macs.count(opened, example)
    return Measured(counted, sizes, {layer.name: layer for layer in weight_layers(model)})


@torch.no_grad()
def products(model: nn.Module, measured: Measured) -> tuple[LayerCost, ...]:
    """In the order of the model, what no quantizer reaches at the end."""
    opened = open_twin(model)
    layers = dict(quantized(opened))
    elsewhere, *counted = bitops.counted_products(opened, measured.macs)
    stored = _stored(opened, layers)
    waiting = iter(counted)
    found = []
    for name, layer in layers.items():
        pair = [next(waiting) for _ in range(2 if isinstance(layer, QuantAttention) else 1)]
        for sided, product in zip(_sided(name, layer, layers, measured.sizes, pair), pair, strict=True):
            found.append(_cost((name, *_known(name, layer, measured.weights)), sided, product, stored.pop(name, 0.0)))
    nothing = _Sided("elsewhere", _Side(None, 0, -1), _Side(None, 0, -1), 0)
    return (*found, _cost(("", "elsewhere", 1), nothing, elsewhere, stored.pop("", 0.0)))


def _known(name: str, layer: QuantLayer, weights: dict[str, WeightLayer]) -> tuple[str, int]:
    """What a layer is for, and how many heads it sums over."""
    if isinstance(layer, QuantAttention):
        return "attention", 1
    if name not in weights:  # its weight is another layer's, too
        return name.rpartition(".")[2], 1
    one = weights[name]
    return one.role, len(one.pieces) if one.has_heads and one.pieces[0].axis == 1 else 1


def _look(size: Size) -> Any:
    def look(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        # A merged attention hands its value projection the tokens with their grid.
        x = inputs[0] if isinstance(inputs[0], Tensor) else inputs[0].x
        size.entering += x.numel() if x.is_floating_point() else 0
        size.leaving += output.numel() if isinstance(output, Tensor) else output[0].numel()

    return look


def _sided(
    name: str, layer: QuantLayer, layers: dict[str, QuantLayer], sizes: dict[str, Size], pair: Sequence[Product]
) -> list[_Sided]:
    held = layer.quantizers()
    if not isinstance(layer, QuantAttention):
        image = isinstance(layer, nn.Conv2d)
        source = layers[below(name.rpartition(".")[0], "qk")] if layer.shares_input else layer
        weight = _Side(held.get("weight"), 0, -3 if image else -1)
        entering = _Side(source.quantizers().get("input"), sizes[name].entering, -3 if image else -1)
        return [_Sided("weight", weight, entering, sizes[name].leaving)]
    # Attention of transformers has its projection inside or beside it: what leaves is as large as what was mixed.
    mixed = sizes[name].leaving if isinstance(layer, InterfaceAttention) else sizes[below(name, "proj")].entering
    width, query, key = layer.width, mixed, (held.get("key"), mixed)
    if isinstance(layer, MergedAttention):
        merged = sizes[below(name, "qk")]
        width, query = layer.qk.in_features, merged.leaving
        of_input = layer.qk.quantizers().get("input") if isinstance(layer.qk, QuantLayer) else None
        key = (of_input, merged.entering)
    scores = pair[0].macs / width
    return [
        _Sided("scores", _Side(held.get("query"), query, -1), _Side(*key, -1), scores),
        _Sided("mixing", _Side(held.get("probability"), scores, -1), _Side(held.get("value"), mixed, -2), mixed),
    ]


def _cost(known: tuple[str, str, int], sided: _Sided, product: Product, stored: float) -> LayerCost:
    name, role, heads = known
    return LayerCost(
        layer=name,
        role=role,
        product=sided.kind,
        macs=float(product.macs),
        left_bits=float(sided.left.bits),
        right_bits=float(sided.right.bits),
        bitops=float(product.bitops()),
        weight_bytes=stored,
        activation_bytes=sided.left.bytes + sided.right.bytes,
        outputs=float(sided.outputs),
        scales=max(sided.left.blocks, sided.right.blocks),
        heads=heads,
    )


def _stored(model: nn.Module, layers: dict[str, QuantLayer]) -> dict[str, float]:
    """Bytes of every layer, packed: codes at their true width, a float32 for every scale, the rest as it is stored."""
    widths = {id(layer.weight): _mean_bits(q) for layer in layers.values() if (q := layer.quantizers().get("weight"))}
    found: dict[str, float] = {}
    for key, tensor in {id(v): (k, v) for k, v in model.state_dict(keep_vars=True).items()}.values():
        if "_quantizer." not in key:
            owner = _owner(key, layers)
            found[owner] = (
                found.get(owner, 0.0) + tensor.numel() * widths.get(id(tensor), 8 * tensor.element_size()) / 8
            )
    for name, _, quantizer in quantizers(model):
        learned = sum(hasattr(quantizer, added) for added in ("shift", "threshold"))
        found[name] = found.get(name, 0.0) + 4 * prod(quantizer.blocks) * (1 + learned)
    for name, module in model.named_modules():
        if isinstance(module, Moved):
            owner = _owner(name, layers)
            found[owner] = found.get(owner, 0.0) + 4 * 2 * module.before.numel()
    return found


def _owner(key: str, layers: dict[str, QuantLayer]) -> str:
    """The layer that a name of the state dict lies in; empty where there is none."""
    above = key.rpartition(".")[0]
    while above and above not in layers:
        above = above.rpartition(".")[0]
    return above


def _mean_bits(quantizer: Quantizer) -> float:
    parts = quantizer.parts()
    return sum(part.mean_bits() for part in parts) / len(parts)
