"""Which tensors of a model have their bits changed together: by role, by block, by layer, by attention head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

from torch import nn

from stillbit.analysis.prefix import blocks
from stillbit.analysis.switches import Part
from stillbit.layers.base import QuantLayer
from stillbit.layers.walk import QuantizedWeight, quantized, weights
from stillbit.surgery.site import Site
from stillbit.surgery.survey import survey

By = Literal["role", "block", "layer", "head"]
ENDS = frozenset({"first", "last", "position"})
"""What keeps 8 bits in a model of few bits, unless it is asked about itself."""
_OPERANDS = ("query", "key", "value", "probability")
_THIRDS = ("query", "key", "value")


@dataclass(frozen=True)
class Tensors:
    """Parts of a model that belong together, and how many weights and biases they have."""

    by: By
    name: str
    parts: tuple[Part, ...]
    parameters: int
    layer: str | None = None
    head: int | None = None

    @property
    def layers(self) -> frozenset[str]:
        """The quantized layers that are touched."""
        return frozenset(part.layer for part in self.parts)


@final
class Anatomy:
    """The quantized tensors of a model, and what each is for."""

    def __init__(self, floats: nn.Module, model: nn.Module) -> None:
        """``model`` is what `quantize` made of ``floats``, without a merge of query and key."""
        self.layers: dict[str, QuantLayer] = dict(quantized(model))
        self.roles = {name: tuple(layer.quantizers()) for name, layer in self.layers.items()}
        self.sites: dict[str, Site] = {site.name: site for site in survey(floats).sites if site.name in self.layers}
        self.weights: dict[str, QuantizedWeight] = {weight.name: weight for weight in weights(model)}
        self.blocks = tuple(blocks(model))
        self.parameters = sum(parameter.numel() for parameter in floats.parameters())

    @property
    def attentions(self) -> tuple[str, ...]:
        """The names of the attentions."""
        return tuple(name for name, site in self.sites.items() if site.is_attention)

    def groups(self, by: Iterable[By]) -> tuple[Tensors, ...]:
        """The groups of these kinds that the model has; a kind of which it has none is refused."""
        makers = {"role": self._roles, "block": self._blocks, "layer": self._layers, "head": self._heads}
        found: list[Tensors] = []
        for kind in dict.fromkeys(by):
            made = [group for group in makers[kind]() if group.parts]
            if not made:
                has = " ".join(other for other, make in makers.items() if any(group.parts for group in make()))
                raise ValueError(f"this model has no {kind}s that could be lowered one by one: use --by {has}")
            found += made
        return tuple(found)

    def ends(self) -> frozenset[str]:
        """The layers that keep 8 bits."""
        return frozenset(name for name, site in self.sites.items() if ENDS & set(site.roles))

    def _roles(self) -> Iterator[Tensors]:
        def named(*roles: str) -> list[str]:
            return [name for name, site in self.sites.items() if set(roles) & set(site.roles)]

        inner = [name for name in self.sites if name not in self.ends()]
        yield self._whole("role", "all", inner)
        yield self._whole("role", "FFN", named("ffn"))
        yield self._whole("role", "MHSA", named("mhsa"))
        for role in _THIRDS:
            yield self._third(role)
        yield self._whole("role", "projection", [n for n in named("proj") if n in self.weights])
        yield self._whole("role", "fc1", named("fc1"))
        yield self._whole("role", "fc2", named("fc2"))
        words = named("word")
        first, last = ("words" if words else "patch", "head") if self.attentions else ("first", "last")
        yield self._whole("role", first, named("first"))
        yield self._whole("role", "positions", [n for n in named("position") if "embedding" in self.sites[n].roles])
        yield self._whole("role", last, named("last"))

    def _blocks(self) -> Iterator[Tensors]:
        for block in self.blocks:
            inside = [name for name in self.sites if name.startswith(f"{block}.")]
            if len(inside) > 1:
                yield self._whole("block", block, inside, layer=block)

    def _layers(self) -> Iterator[Tensors]:
        for name in self.sites:
            yield self._whole("layer", name, [name], layer=name)

    def _heads(self) -> Iterator[Tensors]:
        for name in self.attentions:
            for head in range(self.sites[name].num_heads):
                yield self._head(name, head)

    def _whole(self, by: By, name: str, layers: Sequence[str], layer: str | None = None) -> Tensors:
        """Every quantized tensor of these layers."""
        parts = [Part(each, role) for each in layers for role in self.roles[each]]
        inside = (self.layers[each] for each in layers if each not in self.attentions)
        count = sum(sum(p.numel() for n, p in each.named_parameters() if n in ("weight", "bias")) for each in inside)
        return Tensors(by, name, tuple(parts), count, layer)

    def _third(self, role: str) -> Tensors:
        """Query, key or value: its rows of the weights, and what attention computes with."""
        found = [(weight, piece) for weight in self.weights.values() for piece in weight.pieces() if piece.role == role]
        parts = [Part(weight.name, "weight", p.axis, p.first, p.length) for weight, p in found]
        parts += [Part(name, role) for name in self.attentions if role in self.roles[name]]
        return Tensors("role", role, _joined(parts), sum(_with_bias(weight, p.length) for weight, p in found))

    def _head(self, attention: str, head: int) -> Tensors:
        """A head's rows of query, key and value, its columns of the projection, and what it computes with.

        Keys and values that several heads share (grouped queries) belong to none of them.
        """
        parts, count = [], 0
        shared = False
        for name, weight in self.weights.items():
            if weight.home.name != attention:
                continue
            pieces = weight.pieces()
            heads = {piece.head for piece in pieces}
            if len(heads) != self.sites[attention].num_heads:
                shared = shared or name.rpartition(".")[2] in ("k_proj", "v_proj")
                continue
            for piece in (piece for piece in pieces if piece.head == head):
                parts.append(Part(name, "weight", piece.axis, piece.first, piece.length))
                rows = piece.axis == 0
                count += _with_bias(weight, piece.length) if rows else piece.of(weight.parameter).numel()
                if not rows and "input" in self.roles[name]:
                    parts.append(Part(name, "input", -1, piece.first, piece.length))
        held = [role for role in _OPERANDS if role in self.roles[attention]]
        alone = [role for role in held if not (shared and role in ("key", "value"))]
        parts += [Part(attention, role, -3, head, 1) for role in alone]
        return Tensors("head", f"{attention} {head}", tuple(parts), count, attention, head)


def _joined(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Neighbouring slices of one tensor as one slice."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if (
            before is not None
            and (before.place, before.axis) == (part.place, part.axis)
            and before.length is not None
            and part.length is not None
            and before.first + before.length == part.first
        ):
            joined[-1] = Part(part.layer, part.role, part.axis, before.first, before.length + part.length)
        else:
            joined.append(part)
    return tuple(joined)


def _with_bias(weight: QuantizedWeight, rows: int) -> int:
    """Parameters in so many rows of a weight."""
    bias = getattr(weight.layer, "bias", None)
    return rows * (weight.parameter[0].numel() + (bias is not None))
