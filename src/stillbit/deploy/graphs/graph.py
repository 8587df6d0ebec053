"""An ONNX graph in the making: nodes that are written once, constants that are held once, names that say the layer.

Permutations are not written where they happen. They are kept beside the tensor that they permute, so that two in a row
become one, or none, and only what somebody reads is ever moved.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from stillbit.deploy.file.pack import pack
from stillbit.deploy.program import Array

APART = ("DequantizeLinear",)
"""Runtimes look for one in front of each product, and for nothing else that reads it."""


class Graph:
    """Nodes in order; every method that writes gives back the name of the tensor that it made."""

    def __init__(self, given: str = "images") -> None:
        """``given`` is an input; its first size is that of the batch."""
        self.given = given
        self.nodes: list[Any] = []
        self.held: dict[str, Any] = {}
        """Constants, by name."""
        self.layer = ""
        """Where in the model what is written now belongs."""
        self.permuted: dict[str, tuple[str, tuple[int, ...]]] = {}
        """Of a permutation: what it permutes, and how."""
        self._named: Counter[str] = Counter()
        self._written: dict[Any, str] = {}

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """An operation of ONNX; the same on the same is written once, but for those that have to stand apart."""
        from onnx import helper

        key = (op, inputs, repr(sorted(attributes.items())), len(self.nodes) if op in APART else 0)
        if key not in self._written:
            name = self._name(op)
            self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
            self._written[key] = name
        return self._written[key]

    def constant(self, array: Any, what: str = "constant", *, own: bool = False) -> str:
        """A tensor that does not change; one of the same numbers is the same, unless somebody needs his own."""
        from onnx import numpy_helper

        array = np.asarray(array)
        return self._held(
            what,
            (array.dtype.str, array.shape, array.tobytes(), len(self.held) if own else 0),
            partial(numpy_helper.from_array, array),
        )

    def packed(self, codes: Array, kind: str, bits: int) -> str:
        """A constant of a type that numpy does not have: several codes a byte, the first lowest."""
        from onnx import TensorProto

        stream = pack(codes.astype(np.int64) & (1 << bits) - 1, 0, bits).tobytes()
        made = partial(TensorProto, dims=codes.shape, data_type=TensorProto.DataType.Value(kind), raw_data=stream)
        return self._held("weight", (kind, codes.shape, stream), lambda name: made(name=name))

    def single(self, value: Any, what: str = "constant") -> str:
        """A constant of float32."""
        return self.constant(np.asarray(value, np.float32), what)

    def numbers(self, *values: int) -> str:
        """A row of int64: axes, sizes, positions."""
        return self.constant(np.asarray(values, np.int64), "numbers")

    def turned(self, name: str, axes: Sequence[int]) -> str:
        """The tensor with its axes in this order."""
        base, before = self.permuted.get(name, (name, tuple(range(len(axes)))))
        order = tuple(before[axis] for axis in axes)
        if order == tuple(range(len(order))):
            return base
        turned = self.node("Transpose", base, perm=list(order))
        self.permuted[turned] = base, order
        return turned

    def model(self, inputs: Sequence[Any], logits: Any, opset: int) -> Any:
        """What was written and is needed, as an ONNX model with these inputs and this output."""
        from onnx import helper

        needed, kept = {logits.name}, []
        for node in reversed(self.nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                kept.append(node)
        constants = [tensor for name, tensor in self.held.items() if name in needed]
        graph = helper.make_graph(kept[::-1], "stillbit", list(inputs), [logits], constants)
        opsets = [helper.make_opsetid("", opset)]
        domains = {node.domain for node in kept} - {""}
        version = helper.find_min_ir_version_for(opsets)
        opsets += [helper.make_opsetid(domain, 1) for domain in domains]
        return helper.make_model(graph, opset_imports=opsets, ir_version=version)

    def _held(self, what: str, key: Any, make: Callable[[str], Any]) -> str:
        if key not in self._written:
            name = self._name(what)
            self.held[name] = make(name)
            self._written[key] = name
        return self._written[key]

    def _name(self, what: str) -> str:
        """A name that nothing else has: the layer, and what it is."""
        name = f"{self.layer or 'model'}/{re.sub(r'[^A-Za-z0-9_]', '_', what)}"
        self._named[name] += 1
        return name if self._named[name] == 1 else f"{name}_{self._named[name]}"
