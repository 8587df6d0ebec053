"""From floats to codes, in ONNX: a clip to the true range, then ``QuantizeLinear`` to eight bits, or ``Round``.

Whatever the bits are, a byte holds the codes, and the clip says how many of its levels there are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.graphs.operators import OPERATORS
from stillbit.deploy.graphs.sides import Codes, Dialect, small


class Rounding:
    """Writes what makes codes, and remembers where they can be seen."""

    def __init__(self, graph: Graph, dialect: Dialect) -> None:
        self.graph = graph
        self.dialect = dialect
        self.seen: dict[str, dict[str, Any]] = {}
        """Of each step that quantizes: the tensor of its codes, what is added to them, and what moves them back."""

    def quantized(self, codes: Codes, *, right: bool = False) -> tuple[str, str]:
        """Codes as bytes, and where zero lies in them.

        The quick kernels multiply bytes without a sign, on the left, by bytes with one, on the right.
        """
        signed = codes.high < 128 and (self.dialect.openvino or (right and small(codes.low, codes.high)))
        kind, zero = (np.int8, 0) if signed else (np.uint8, _middle(codes))
        ends, x = np.iinfo(kind), codes.source
        if codes.divided:  # by one scale a channel, say: there OpenVINO loses a clip that stands in front of bytes
            x = self.rounded(codes)
        elif (codes.low, codes.high) != (ends.min - zero, ends.max - zero):
            x = self._clipped(x, codes, codes.scale)
        point = self.graph.constant(kind(zero), "zero")
        made = self.graph.node("QuantizeLinear", x, self.graph.single(codes.scale, "scale"), point)
        self.seen[codes.name] = {"tensor": made, "zero": zero, "back": codes.back}
        return made, point

    def dequantized(self, codes: Codes, scale: float, *, right: bool = False) -> str:
        """Codes as bytes, and as floats again, times ``scale``."""
        made, zero = self.quantized(codes, right=right)
        return self.graph.node("DequantizeLinear", made, self.graph.single(scale, "scale"), zero)

    def rounded(self, codes: Codes) -> str:
        """Codes as floats, which never were bytes."""
        x = codes.source
        x = x if codes.scale == 1 else self.graph.node("Div", x, self.graph.single(codes.scale, "scale"))
        made = self.graph.node("Round", self._clipped(x, codes, 1.0))
        self.seen.setdefault(codes.name, {"tensor": made, "zero": 0, "back": codes.back})
        return made

    def _clipped(self, x: str, codes: Codes, scale: float) -> str:
        low, high = (float(np.float32(end) * np.float32(scale)) for end in (codes.low, codes.high))
        return OPERATORS["clamp"](self.graph, x, low=low, high=high)


def _middle(codes: Codes) -> int:
    """Where zero is among bytes: even, because OpenVINO rounds halves to what is even there.

    Where a token has its own scale, it is not 0: without a zero to take off, OpenVINO joins what multiplies tokens to
    the product, and multiplies channels.
    """
    zero = -codes.low + codes.low % 2
    return 2 if codes.divided and zero == 0 and codes.high < 254 else zero
