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
    "output.dense": (("proj",), 1),
    "qk": (("query-key",), 0),
    "v": (("value",), 0),
    "gate": (("gate",), 0),
    "proj": (("proj",), 1),
}
"""What lies in the linears of an attention, by their names there: the roles, one behind the other, and the axis of the
heads inside each (rows make heads, the columns of a projection take them in)."""

BESIDE = {"output.dense": "self"}
"""A layer of an attention that stands beside it and not inside, and what the attention is called there (BERT)."""

PLAIN = {
    "intermediate.dense": "fc1",
    "output.dense": "fc2",
    "ffn.lin1": "fc1",
    "ffn.lin2": "fc2",
}
"""What a layer without heads is for, where its own name does not tell: the ends of paths."""

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


class Home(NamedTuple):
    """The attention that a layer computes for, or the module that it is a child of where there is none."""

    name: str
    child: str
    """What the layer is called there."""
    heads: int
    """0: not of an attention."""
    shared: int
    """Heads of its keys and values, which several queries may share."""


@dataclass(frozen=True, eq=False)
class QuantizedWeight:
    """A weight that snaps to a grid, with its place in the model."""

    name: str
    """Of its layer, such as blocks.0.attn.qkv."""
    layer: QuantLayer
    quantizer: Quantizer
    home: Home

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
        return pieces(self.home, self.parameter)


def home_of(name: str, model: nn.Module) -> Home:
    """Where the layer ``name`` of ``model``, quantized or float, belongs."""
    above, _, child = name.rpartition(".")
    for path, attention in BESIDE.items():
        if f".{name}".endswith(f".{path}"):
            holder = f".{name}".removesuffix(f".{path}").lstrip(".")
            beside = getattr(model.get_submodule(holder), attention, None)
            if isinstance(beside, nn.Module) and heads_of(beside):
                above, child = f"{holder}.{attention}".lstrip("."), path
    parent = model.get_submodule(above)
    heads = heads_of(parent)
    return Home(above, child, heads, getattr(parent, "num_kv_heads", None) or heads)


def heads_of(module: nn.Module) -> int:
    """How many heads an attention has; 0 for a module that does not say."""
    found = next((getattr(module, name) for name in HEADS if hasattr(module, name)), 0)
    return found if isinstance(found, int) else 0


def pieces(home: Home, weight: Float[Tensor, "*shape"]) -> tuple[Piece, ...]:
    """The pieces of the weight of a layer whose home this is."""
    roles, axis = HEADED.get(home.child, ((), 0))
    heads = home.shared if home.child in ("k_proj", "v_proj") else home.heads
    length = weight.size(axis)
    if not roles or not heads or length % (len(roles) * heads):
        word = PLAIN.get(f"{home.name.rpartition('.')[2]}.{home.child}", home.child)
        return (Piece(word or "weight", None, 0, 0, weight.size(0)),)
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
            yield QuantizedWeight(name, layer, quantizer, home_of(name, model))


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
