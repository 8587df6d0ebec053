"""The two sides of a product of codes: activations that are still floats, weights that are integers already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.program import Array, Constant


@dataclass(frozen=True, kw_only=True)
class Codes:
    """Floats that become codes where they are multiplied: divided by ``scale``, clipped, rounded."""

    name: str
    """Of the step that quantizes."""
    source: str
    scale: float
    low: int
    high: int
    divided: bool = False
    """Whether more was done before than one scale can do, so that they are floats in steps of one."""
    shared: bool = False
    """Whether more than one step reads them."""
    back: tuple[dict[str, Any], ...] = ()
    """What undoes how they were moved since: permutations and shapes."""


Value = Codes | Constant | str
"""Codes still to be made, what is known already, or a tensor of the graph: floats."""


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What differs between the graphs of the runtimes, and of the flavours."""

    dense: bool = False
    """Weights in two and four bits."""
    openvino: bool = False
    """Convolutions as floats that are integers; bytes with a sign where onnxruntime would overflow on some CPUs."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """Integers; times ``factor``, plus ``rest``, they are levels."""

    codes: Value
    factor: float = 1.0
    rest: float = 0.0

    @property
    def shared(self) -> bool:
        """Whether anything else reads the same codes."""
        return bool(self.rest) or (isinstance(self.codes, Codes) and self.codes.shared)


def side_of(value: Value, offset: float) -> Side:
    """A weight between two integers is doubled, while it fits: ``2 c + 1`` is odd, and twice its level."""
    if not isinstance(value, Constant) or not offset:
        return Side(codes=value, rest=offset)
    doubled = 2 * value.array.astype(np.int64) + int(2 * offset)
    if doubled.min(initial=0) >= -128 and doubled.max(initial=0) <= 127:
        return Side(codes=Constant(array=doubled, grid=value.grid), factor=0.5)
    return Side(codes=value, rest=offset)


def small(low: int, high: int) -> bool:
    """Whether twice such a number times a byte fits into 16 bits, in which CPUs without VNNI sum two products."""
    return low >= -64 and high <= 64


def bytes_of(codes: Array, *, signed: bool = True) -> tuple[Array, int]:
    """Codes as bytes, with a sign where it is wanted and they fit, and where zero is in them."""
    wide = codes.astype(np.int64)
    kind, zero = (np.int8, 0) if signed and wide.max(initial=0) < 128 else (np.uint8, -int(wide.min(initial=0)))
    return (wide + zero).astype(kind), zero


def weight(graph: Graph, codes: Array, scale: Array, *, signed: bool = True, axis: int = -1, bare: bool = False) -> str:
    """A weight, stored in bytes, as floats: times a scale, or one for each place along an axis.

    Not ``bare``, some say their zero though it is 0: onnxruntime makes those unsigned for which 16 bits are too few,
    and stumbles where two of them have no zero or the same. For OpenVINO ``bare``, and a constant of each product's
    own: it computes with floats where there is a zero, or where two read the same weight.
    """
    stored, zero = bytes_of(codes, signed=signed)
    name = graph.constant(stored, "weight", own=bare)
    places = {} if scale.size == 1 else {"axis": axis % codes.ndim}
    said = graph.single(scale if places else scale.item(), "scale")
    if zero == 0 and (bare or small(codes.min(initial=0), codes.max(initial=0))):
        return graph.node("DequantizeLinear", name, said, **places)
    zeros = np.full(scale.size if places else (), zero, stored.dtype)
    return graph.node("DequantizeLinear", name, said, graph.constant(zeros, "zero", own=True), **places)


def width_of(held: Constant) -> int:
    """The bits that ONNX has for these codes: 2, 4 or 8."""
    assert held.grid is not None, "codes have a grid"
    return next(bits for bits in (2, 4, 8) if held.grid.bits <= bits)


def dense(graph: Graph, held: Constant) -> str:
    """A weight in two or four bits, as floats that are its codes."""
    assert held.grid is not None, "codes have a grid"
    width = width_of(held)
    kind = f"{'U' if held.grid.low >= 0 else ''}INT{width}"
    return graph.node("DequantizeLinear", graph.packed(held.array, kind, width), graph.single(1.0, "scale"))
