"""From a program to a graph: step by step, codes as runtimes want them, everything else as it is.

Codes stay floats until somebody multiplies them, and only there they are clipped, rounded and made integers, right in
front of the product. So what moves codes moves floats, and a runtime sees the one pattern that it has integers for.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.graphs.graph import Graph
from stillbit.deploy.graphs.operators import OPERATORS
from stillbit.deploy.graphs.products import Products
from stillbit.deploy.graphs.seen import names_of
from stillbit.deploy.graphs.sides import Codes, Dialect, Value, bytes_of
from stillbit.deploy.program import MULTIPLIES, Array, Constant, Program, Step
from stillbit.deploy.runtime import reference

SHRINKING = ("reshape", "permute", "select", "slice")
"""What never makes a constant larger is done while writing."""


class Writer:
    """Walks over the program once."""

    def __init__(self, program: Program, dialect: Dialect) -> None:
        self.program = program
        self.names = names_of(program.inputs)
        self.graph = Graph(self.names[0])
        self.products = Products(self.graph, dialect)
        given = dict(zip((each.name for each in program.inputs), self.names, strict=True))
        self.values: dict[str, Value] = {**given, **program.constants}
        self.readers: dict[str, list[Step]] = {}
        for step in program.steps:
            for name in dict.fromkeys(step.inputs):
                self.readers.setdefault(name, []).append(step)
        self.shapes = shapes(program, -1)
        self.merged: set[str] = set()
        """Products with constants that went into the scale of a product of codes."""

    def model(self, opset: int) -> Any:
        """The ONNX model."""
        from onnx import TensorProto, helper

        for step in self.program.steps:
            self.graph.layer = step.layer
            self.values[step.output] = self._value(step)
        last = self._tensor(self.values[self.program.output])
        self.graph.nodes.append(helper.make_node("Identity", [last], ["logits"], name="logits"))
        kinds = [TensorProto.FLOAT if each.kind == "floats" else TensorProto.INT64 for each in self.program.inputs]
        dims = [*(each.dims for each in self.program.inputs), self.shapes[self.program.output]]
        ends = zip((*self.names, "logits"), (*kinds, TensorProto.FLOAT), dims, strict=True)
        *inputs, logits = (
            helper.make_tensor_value_info(name, kind, [size if size > 0 else "batch" for size in sizes])
            for name, kind, sizes in ends
        )
        return self.graph.model(inputs, logits, opset)

    def _value(self, step: Step) -> Value:
        values = [self.values[name] for name in step.inputs]
        first = values[0]
        if step.output in self.merged:
            return next(value for value in values if not isinstance(value, Constant))
        if step.op in SHRINKING and isinstance(first, Constant):
            return replace(first, array=reference.OPERATIONS[step.op](first.array, **step.settings))
        if step.op == "gather" and isinstance(first, Constant) and first.grid is not None:
            return self._rows(step, first, values[1])
        if step.op in ("permute", "reshape") and isinstance(first, Codes):
            return self._moved(step, first)
        return self._codes(step, values) if step.op == "quantize" else self._floats(step, values)

    def _floats(self, step: Step, values: list[Value]) -> str:
        if step.op == "level":
            return self.products.level(values[0], step.settings["offset"])
        if step.op in MULTIPLIES:
            return self._multiplied(step, *values)
        return self._operator(step.op, *values, **step.settings)

    def _rows(self, step: Step, table: Constant, index: Value) -> str:
        """Rows of a table of codes, as floats: all of it stays in bytes, or in what is smaller."""
        from onnx import TensorProto

        if self.products.is_dense(table):
            return self._operator("gather", self.products.level(table, 0.0), index, **step.settings)
        stored, zero = bytes_of(table.array)
        rows = self._operator("gather", self.graph.constant(stored, "table"), index, **step.settings)
        made = self.graph.node("Cast", rows, to=TensorProto.FLOAT)
        return self.graph.node("Sub", made, self.graph.single(zero)) if zero else made

    def _operator(self, op: str, *values: Value, **settings: Any) -> str:
        return OPERATORS[op](self.graph, *(self._tensor(value) for value in values), **settings)

    def _moved(self, step: Step, codes: Codes) -> Codes:
        """Moved before they are integers, because runtimes look for the integers right in front of a product."""
        moved = OPERATORS[step.op](self.graph, codes.source, **step.settings)
        back: dict[str, Any] = {"shape": self.shapes[step.inputs[0]]}
        if step.op == "permute":
            back = {"axes": tuple(int(axis) for axis in np.argsort(step.settings["axes"]))}
        return replace(codes, source=moved, back=(back, *codes.back))

    def _multiplied(self, step: Step, a: Value, b: Value) -> str:
        scale = self._scale_behind(step, [a, b]) if self.products.folds(step, [a, b]) else None
        if step.op == "convolution":
            return self.products.convolution(step.settings, a, b, scale)
        if len(self.shapes[step.output]) > 2 or not isinstance(a, Codes):
            return self.products.product(step.settings, a, b, scale)
        # Of two matrices and a bias onnxruntime makes a product of floats before it looks for integers; not of stacks.
        one = self.graph.numbers(1)
        flat = {"shape": self.shapes[step.inputs[0]]}
        a = replace(a, source=self.graph.node("Unsqueeze", a.source, one), back=(flat, *a.back))
        return self.graph.node("Squeeze", self.products.product(step.settings, a, b, scale), one)

    def _codes(self, step: Step, values: list[Value]) -> Codes:
        """What one scale divides is divided where it is rounded, everything else before.

        For OpenVINO all is divided and rounded before: its own rounding adds a byte's zero first, and loses digits.
        """
        x, scale, bounds = values[0], values[1] if len(values) > 1 else None, values[2:]
        low, high, offset = (step.settings[name] for name in ("low", "high", "offset"))
        source, one = self._tensor(x), 1.0
        whole = scale is None or (isinstance(scale, Constant) and scale.array.size == 1 and scale.array.item() > 0)
        whole = whole and not (bounds or offset or self.products.dialect.openvino)
        if whole and isinstance(scale, Constant):
            one = scale.array.item()
        elif scale is not None:
            source = self._operator("div", source, scale)
        source = self._operator("sub", source, by=offset) if offset else source
        source = self._operator("clamp", source, *bounds) if bounds else source
        shared = len(self.readers[step.output]) > 1
        said = {"name": step.output, "source": source, "scale": one, "low": low, "high": high}
        return Codes(**said, divided=not whole, shared=shared)

    def _scale_behind(self, step: Step, values: list[Value]) -> Array | None:
        """What the sum of this step is multiplied by later, as far as a runtime can do it while it sums up."""
        scale, output = None, step.output
        while output != self.program.output and len(self.readers[output]) == 1:
            (reader,) = self.readers[output]
            factor = self._factor(reader)
            if factor is None:
                break
            row = self.products.row(step, values, factor)
            if row is not None:
                scale = row if scale is None else scale * row
                self.merged.add(reader.output)
            output = reader.output
        return scale

    def _factor(self, step: Step) -> Array | None:
        """The constant that a step multiplies by."""
        if step.op != "mul":
            return None
        if "by" in step.settings:
            return np.float32(step.settings["by"]).reshape(1)
        known = [self.values[name] for name in step.inputs if isinstance(self.values.get(name), Constant)]
        return known[0].array if len(known) == 1 and isinstance(known[0], Constant) else None

    def _tensor(self, value: Value) -> str:
        """A value as floats, or as the positions that a constant holds."""
        if isinstance(value, Constant):
            return self.graph.constant(value.array)
        return value if isinstance(value, str) else self.products.level(value, 0.0)
