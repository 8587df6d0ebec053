"""The weights of any model, float or quantized, cut into layers, roles and heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.analysis.twin import float_twin
from stillbit.layers.walk import Home, Piece, home_of, pieces
from stillbit.surgery.site import Site
from stillbit.surgery.survey import survey

ENDS = ("first", "last")


class Part(NamedTuple):
    """Some rows or columns of a weight, and what they are for."""

    layer: str
    role: str
    head: int | None
    weight: Float[Tensor, "*piece"]


@dataclass(frozen=True, eq=False)
class WeightLayer:
    """A layer with a weight that can be quantized."""

    name: str
    role: str
    """Of the whole layer, such as fc1; a layer of an attention has one for each of its pieces."""
    weight: Float[Tensor, "*shape"]
    """The float numbers: the latent ones of a quantized layer."""
    home: Home
    pieces: tuple[Piece, ...]

    @property
    def has_heads(self) -> bool:
        """Whether it is of an attention whose heads lie in it."""
        return self.pieces[0].head is not None

    def role_of(self, piece: Piece) -> str:
        """What the rows or columns of a piece are for."""
        return piece.role if piece.head is not None else self.role

    def parts(self) -> Iterator[Part]:
        """Role by role and head by head."""
        for piece in self.pieces:
            yield Part(self.name, self.role_of(piece), piece.head, piece.of(self.weight))

    def output(self, index: int) -> tuple[str, int | None]:
        """Role and head of a row of the weight; the whole layer's, and no head, where heads are in the columns."""
        for piece in self.pieces:
            if self.has_heads and piece.axis == 0 and piece.first <= index < piece.first + piece.length:
                return piece.role, piece.head
        return (self.pieces[0].role if self.has_heads else self.role), None

    def input(self, index: int) -> tuple[str, int | None]:
        """Role and head of a column."""
        for piece in self.pieces:
            if self.has_heads and piece.axis == 1 and piece.first <= index < piece.first + piece.length:
                return piece.role, piece.head
        return self.role, None


def weight_layers(model: nn.Module) -> tuple[WeightLayer, ...]:
    """Every weight that can be quantized, once and in the order of the model."""
    plain = float_twin(model)
    found: dict[int, WeightLayer] = {}
    for site in survey(plain).sites:
        weight = getattr(site.module, "weight", None)
        if site.is_attention or not isinstance(weight, Tensor) or id(weight) in found:
            continue
        home = home_of(site.name, plain)
        found[id(weight)] = WeightLayer(site.name, role_of(site), weight.detach(), home, pieces(home, weight))
    if not found:
        raise ValueError("this model has no weight that could be quantized: give one with linears or convolutions")
    return tuple(found.values())


def role_of(site: Site) -> str:
    """A word for what a weight layer does: patch, stem, head at the ends, else the first of its roles."""
    conv = site.module if isinstance(site.module, nn.Conv2d) else None
    if "first" in site.roles and conv is not None:
        return "patch" if conv.kernel_size == conv.stride else "stem"
    if "last" in site.roles:
        return "head"
    return next(role for role in site.roles if role not in ENDS)
