"""The only walk over a model's quantized layers, and over their weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from stillbit.layers.base import QuantLayer
from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.snap import Latent

HEADED: dict[str, tuple[tuple[str, ...], int]] = {
    "qkv": (("query", "key", "value"), 0),
    "q_proj": (("query",), 0),
    "k_proj": (("key",), 0),
    "v_proj": (("value",), 0),
    "o_proj": (("proj",), 1),
    "query": (("query",), 0),
    "key": (("key",), 0),
    "value": (("value",), 0),
    "q_lin": (("query",), 0),
    "k_lin": (("key",), 0),
    "v_lin": (("value",), 0),
    "out_lin": (("proj",), 1),
    "qk": (("query-key",), 0),
    "v": (("value",), 0),
    "gate": (("gate",), 0),
    "proj": (("proj",), 1),
}
"""What lies in the linears of an attention, by their names there: the roles, one behind the other, and the axis of the
heads inside each (rows make heads, the columns of a projection take them in)."""

HEADS = ("num_heads", "num_attention_heads", "n_heads")
"""What attentions call the number of their heads."""


class Piece(NamedTuple):
    """Some rows or columns of a weight: what they are for, and which head they belong to."""

    role: str
    head: int | None
    axis: int
    first: int
    length: int

    def of(self, tensor: Float[Tensor, "*shape"]) -> Float[Tensor, "*piece"]:
        """The same rows or columns of a tensor that has the shape of the weight."""
        return tensor.narrow(self.axis, self.first, self.length)


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight that snaps to a grid, with its place in the model."""

    name: str
    """Of its layer, such as blocks.0.attn.qkv."""
    layer: QuantLayer
    quantizer: Quantizer
    parent: nn.Module
    """The module that its layer is a child of; the layer itself where there is none."""

    @property
    def parameter(self) -> nn.Parameter:
        """The float latent, which training moves."""
        weight = self.layer.weight
        assert isinstance(weight, nn.Parameter), "what is not a parameter is not walked over"
        return weight

    @property
    def bits(self) -> int:
        """The width of its codes."""
        return self.quantizer.grid.bits

    def latent(self) -> Latent:
        """The weight with its grid and scale; gradients reach the parameter, and a learned scale."""
        ready: Latent = self.quantizer(self.parameter)
        return ready

    def codes(self) -> Int[Tensor, "*shape"]:
        """The integers it is now."""
        return self.latent().code()

    def pieces(self) -> tuple[Piece, ...]:
        """Role by role and head by head; in one piece where it is not of an attention, or heads do not divide it."""
        return pieces(self.name, self.parent, self.parameter)


def pieces(name: str, parent: nn.Module, weight: Float[Tensor, "*shape"]) -> tuple[Piece, ...]:
    """The pieces of the weight of the layer ``name``, quantized or float, which is a child of ``parent``."""
    child = name.rpartition(".")[2]
    roles, axis = HEADED.get(child, ((), 0))
    heads = next((getattr(parent, name) for name in HEADS if hasattr(parent, name)), None)
    if child in ("k_proj", "v_proj"):
        heads = getattr(parent, "num_kv_heads", None) or heads
    length = weight.size(axis)
    if not roles or not isinstance(heads, int) or length % (len(roles) * heads):
        return (Piece(child or "weight", None, 0, 0, weight.size(0)),)
    each = length // (len(roles) * heads)
    places = [(role, head) for role in roles for head in range(heads)]
    return tuple(Piece(role, head, axis, i * each, each) for i, (role, head) in enumerate(places))


def quantized(model: nn.Module) -> Iterator[tuple[str, QuantLayer]]:
    """Every quantized layer once, with its name, in the order of the model."""
    for name, module in model.named_modules():
        if isinstance(module, QuantLayer):
            yield name, module


def weights(model: nn.Module) -> Iterator[QuantizedWeight]:
    """Every quantized weight once, in the order of the model; one that two layers share comes with the first."""
    seen: set[int] = set()
    for name, layer in quantized(model):
        weight, quantizer = getattr(layer, "weight", None), layer.quantizers().get("weight")
        if quantizer is not None and isinstance(weight, nn.Parameter) and id(weight) not in seen:
            seen.add(id(weight))
            yield QuantizedWeight(name, layer, quantizer, model.get_submodule(name.rpartition(".")[0]))


def quantizers(model: nn.Module) -> Iterator[tuple[str, str, Quantizer]]:
    """Every quantizer that holds state: the name of its layer, its role there, itself."""
    for name, layer in quantized(model):
        for role, quantizer in layer.quantizers().items():
            for part in quantizer.parts():
                yield name, role, part


def scale_names(model: nn.Module) -> frozenset[str]:
    """The names of all parameters that belong to quantizers: scales and offsets."""
    return frozenset(
        f"{name}.{inside}"
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Quantizer)
        for inside, _ in module.named_parameters()
    )
