"""Products of codes in ONNX, in the one form that runtimes compute in integers.

``DequantizeLinear`` stands in front of both sides, by a scale of one, or by the factor that follows the product anyway:
an integer sum times a factor is the same float either way.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.graphs.operators import windows
from stillbit.deploy.graphs.rounding import Rounding
from stillbit.deploy.graphs.sides import Codes, Dialect, Side, Value, bytes_of, dense, side_of, small, weight, width_of
from stillbit.deploy.program import Array, Constant, Step

MOST = 64
"""Products that may read the same codes."""


class Products:
    """Writes what multiplies codes."""

    def __init__(self, graph: Graph, dialect: Dialect) -> None:
        self.graph = graph
        self.dialect = dialect
        self.rounding = Rounding(graph, dialect)
        self.powers: set[tuple[str, int]] = set()
        """Which codes were dequantized by which power of two."""

    def level(self, value: Value, offset: float) -> str:
        """As floats, not by way of bytes: OpenVINO errs where it moves the scale of these through a sum."""
        if self.is_dense(value):
            level = dense(self.graph, value)
        else:
            level = self.rounding.rounded(value) if isinstance(value, Codes) else self._floats(Side(codes=value), 1.0)
        return self.graph.node("Add", level, self.graph.single(offset)) if offset else level

    # ----------------------------------------------------------------------------------------- factors behind a product

    def folds(self, step: Step, values: list[Value]) -> bool:
        """Whether what follows a product may be its scale: nothing is added to the sum before."""
        sides = [side_of(value, offset) for value, offset in zip(values, step.settings["offsets"], strict=True)]
        added = sides[1].rest or (step.op == "product" and sides[0].rest)
        return not self.is_dense(values[1]) and not added

    def row(self, step: Step, values: list[Value], factor: Array) -> Array | None:
        """A factor as a scale, or one for each of the output's channels; None if it is neither."""
        if factor.size == 1:
            return factor.reshape(1)
        kernel = values[1]
        if not isinstance(kernel, Constant):
            return None
        axis, channels = (-1, kernel.array.shape[-1]) if step.op == "product" else (-3, kernel.array.shape[0])
        if factor.ndim < -axis or factor.shape[axis] != factor.size or factor.size != channels:
            return None
        return factor.reshape(-1)

    # -------------------------------------------------------------------------------------------------- matrix products

    def product(self, settings: dict[str, Any], a: Value, b: Value, scale: Array | None) -> str:
        """The matrix product of two sides, with what their rests add to it."""
        if self.is_dense(b):
            return self.graph.node("MatMul", *self._beside_dense(settings, a, b))
        left, right = (side_of(value, offset) for value, offset in zip((a, b), settings["offsets"], strict=True))
        power = self._power(left, right)
        factors: list[Any] = [left.factor * 2.0**power, right.factor * 2.0**-power]
        known = 1 if isinstance(b, Constant) else 0
        factors[known] = factors[known] * (1.0 if scale is None else scale)
        operands = self._floats(left, factors[0]), self._floats(right, factors[1], right=True)
        summed = self.graph.node("MatMul", *operands)
        for side, other, axis in ((left, right, -2), (right, left, -1)):
            if side.rest:  # what it adds is itself times the sum of the other's levels
                total = self._total(other, other.rest if side is left else 0.0, axis)
                added = self.graph.node("Mul", total, self.graph.single(side.rest))
                summed = self.graph.node("Add", summed, added)
        return summed

    def _power(self, *sides: Side) -> int:
        """A power of two that moves from one side to the other, so that no two products read the same floats.

        A runtime merges what is dequantized twice by one scale, and then finds no integers in front of a product,
        because its neighbour reads them too. Powers of two change no bit of what comes out.
        """
        names = [side.codes.source if isinstance(side.codes, Codes) else "" for side in sides]
        first = 1 if any(side.shared for side in sides) else 0
        for power in (sign * size for size in range(first, MOST) for sign in (1, -1)):
            wanted = {(name, each) for name, each in zip(names, (power, -power), strict=True) if name}
            if not wanted & self.powers:
                self.powers |= wanted
                return power
        raise AssertionError(f"more than {MOST} products read the same codes")

    def _total(self, side: Side, rest: float, axis: int) -> str:
        """The sum of a side's levels along an axis."""
        if isinstance(side.codes, Constant):
            return self.graph.single((side.codes.array * side.factor + rest).sum(axis, keepdims=True))
        return self.graph.node("ReduceSum", self.level(side.codes, rest), self.graph.numbers(axis), keepdims=1)

    # ----------------------------------------------------------------------------------------------------- convolutions

    def convolution(self, settings: dict[str, Any], x: Value, kernel: Value, scale: Array | None) -> str:
        """Integers where nothing but integers is in it; else floats that are levels, exact as long as sums are."""
        offsets, how = settings["offsets"], windows(**{k: v for k, v in settings.items() if k != "offsets"})
        if self.is_dense(kernel):
            return self.graph.node("Conv", *self._beside_dense(settings, x, kernel), **how)
        right = side_of(kernel, offsets[1])
        if right.rest or not isinstance(right.codes, Constant) or not isinstance(x, Codes):
            return self.graph.node("Conv", self.level(x, offsets[0]), self.level(kernel, offsets[1]), **how)
        left = self._doubled(x, offsets[0]) if offsets[0] else Side(codes=x)
        factor = left.factor * right.factor * (np.ones(1, np.float32) if scale is None else scale)
        if not self.dialect.openvino and isinstance(left.codes, Codes):
            return self._summed(left.codes, right.codes.array, factor, how)
        return self.graph.node("Conv", self._floats(left, 1.0), self._floats(right, factor, right=True, axis=0), **how)

    def _doubled(self, x: Codes, offset: float) -> Side:
        """Codes between two integers, doubled: what is padded is a zero then, and it is one of the integers."""
        doubled = self.graph.node("Mul", self.rounding.rounded(x), self.graph.single(2.0))
        source = self.graph.node("Add", doubled, self.graph.single(2 * offset))
        low, high = (2 * end + int(2 * offset) for end in (x.low, x.high))
        return Side(codes=Codes(name=f"{x.name}, doubled", source=source, scale=1.0, low=low, high=high), factor=0.5)

    def _summed(self, x: Codes, kernel: Array, scale: Array, how: dict[str, Any]) -> str:
        """A convolution of integers, and its sums as floats, times a scale."""
        from onnx import TensorProto

        signed = x.high - x.low < 128 or small(kernel.min(initial=0), kernel.max(initial=0))
        stored, zero = bytes_of(kernel, signed=signed)
        inputs = self.graph.constant(stored, "weight"), self.graph.constant(stored.dtype.type(zero), "zero")
        codes, point = self.rounding.quantized(x)
        summed = self.graph.node("ConvInteger", codes, inputs[0], point, inputs[1], **how)
        factor = self.graph.single(scale if scale.size == 1 else scale.reshape(-1, 1, 1), "scale")
        return self.graph.node("Mul", self.graph.node("Cast", summed, to=TensorProto.FLOAT), factor)

    def _floats(self, side: Side, scale: Any, *, right: bool = False, axis: int = -1) -> str:
        """Integers times a scale, which for a weight may be one for each channel."""
        scale = np.asarray(scale, np.float32)
        if isinstance(side.codes, Codes):
            return self.rounding.dequantized(side.codes, scale.item(), right=right)
        if isinstance(side.codes, str):
            return side.codes if np.all(scale == 1) else self.graph.node("Mul", side.codes, self.graph.single(scale))
        bare = self.dialect.openvino
        return weight(self.graph, side.codes.array, scale, signed=right, axis=axis, bare=bare)

    # ------------------------------------------------------------------------------------------------ two and four bits

    def is_dense(self, kernel: Value) -> TypeGuard[Constant]:
        """Whether it is stored in two or four bits."""
        return self.dialect.dense and isinstance(kernel, Constant) and width_of(kernel) < 8

    def _beside_dense(self, settings: dict[str, Any], x: Value, kernel: Constant) -> tuple[str, str]:
        """Both sides of a product with such a weight: floats, so small that their sums are exact."""
        before, behind = settings["offsets"]
        stored = dense(self.graph, kernel)
        if behind:
            stored = self.graph.node("Add", stored, self.graph.single(behind))
        if not isinstance(x, Codes) or before or (width_of(kernel) == 2 and not behind):
            return self.level(x, before), stored  # onnxruntime refuses weights of two bits beside bytes
        return self.rounding.dequantized(x, 1.0), stored
