"""What every layer of a program computes on: integers, floats that were codes, or floats; and what that takes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, prod

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import MOVES, MULTIPLIES, Constant, Dims, Grid, Program, Step

FLOAT_PRODUCTS = ("matmul", "conv")
SCALES = ("add", "sub", "mul", "div", "level")
"""What may stand between codes and a product of floats, if all that codes are good for there is to be small on disk."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One module of the model; counts are of one image."""

    name: str
    weight: str
    """Bits of the weights, 4 or 4u (unsigned), or nothing where there are none that are codes."""
    activation: str
    """Bits of what its products take in, each once."""
    integer: int
    """Multiplications of codes by codes."""
    dequantised: int
    """Multiplications of floats, some of which had been codes."""
    floating: int
    """Multiplications of floats that never were codes."""
    bytes: int
    """Its constants: codes at their width, four bytes a float."""

    @property
    def macs(self) -> int:
        """All its multiplications."""
        return self.integer + self.dequantised + self.floating

    @property
    def computes(self) -> str:
        """On what, in words; what has no products only adds, normalizes or bends floats."""
        held = {"integer": self.integer, "dequantised": self.dequantised, "float": self.floating}
        return ", ".join(word for word, count in held.items() if count) or "float"

    @property
    def bits(self) -> str:
        """Of weights and activations: w4 a4u."""
        held = {"w": self.weight, "a": self.activation}
        return " ".join(f"{letter}{bits.replace(', ', ',')}" for letter, bits in held.items() if bits)


def layers_of(program: Program) -> tuple[Layer, ...]:
    """A row a module, in the order in which they begin to compute; what does and holds nothing is left out."""
    reader = _Reader(program)
    owned: dict[str, list[Step]] = {}
    for step in program.steps:
        owned.setdefault(_module(step.layer), []).append(step)
    rows = [reader.row(name, steps) for name, steps in owned.items()]
    return tuple(row for row in rows if row.macs or row.bytes)


def alike(layers: Iterable[Layer]) -> list[list[Layer]]:
    """Layers that differ only in the numbers of their names, together, in the order of the first of each."""
    groups: dict[tuple[object, ...], list[Layer]] = {}
    for row in layers:
        said = (row.weight, row.activation, row.integer, row.dequantised, row.floating, row.bytes)
        groups.setdefault((re.sub(r"\d+", "*", row.name), *said), []).append(row)
    return list(groups.values())


def _module(layer: str) -> str:
    """The module that a quantizer is of."""
    return re.sub(r"\.[a-z]+_quantizer.*", "", layer)


class _Reader:
    """Looks up where a value comes from, and how large it is."""

    def __init__(self, program: Program) -> None:
        self.constants = program.constants
        self.made = {step.output: step for step in program.steps}
        self.shapes = shapes(program)
        self.paid: set[str] = set()
        """Constants that are counted already; what two layers share counts once."""

    def row(self, name: str, steps: list[Step]) -> Layer:
        weights: list[str] = []
        activations: list[str] = []
        counts = {"integer": 0, "dequantised": 0, "floating": 0}
        for step in steps:
            if step.op not in (*MULTIPLIES, *FLOAT_PRODUCTS):
                continue
            counts[self._kind(step)] += self._macs(step)
            for side in step.inputs[:2]:
                grid, known = self._grid(side)
                if grid is not None:
                    (weights if known else activations).append(_bits(grid))
        return Layer(
            name=name or "(the model itself)",
            weight=", ".join(dict.fromkeys(weights)),
            activation=", ".join(dict.fromkeys(activations)),
            bytes=sum(self._bytes(step) for step in steps),
            **counts,
        )

    def _kind(self, step: Step) -> str:
        if step.op in MULTIPLIES:
            return "integer"
        return "dequantised" if any(self._grid(side)[0] is not None for side in step.inputs[:2]) else "floating"

    def _grid(self, name: str) -> tuple[Grid | None, bool]:
        """The grid that a value lies on, or lay on before it was scaled; and whether it is a constant."""
        if name in self.constants:
            return self.constants[name].grid, True
        step = self.made.get(name)
        if step is None:
            return None, False
        if step.op == "quantize":
            low, high = step.settings["low"], step.settings["high"]
            return Grid(low=low, high=high, offset=step.settings["offset"]), False
        if step.op in MOVES or step.op in SCALES:
            return self._grid(step.inputs[0])
        return None, False

    def _macs(self, step: Step) -> int:
        """Of one image; what the batch does not multiply counts as often as it is computed."""
        output, right = self._size(step.output), self._size(step.inputs[1])
        if step.op in ("product", "matmul"):
            return prod(output) * self._size(step.inputs[0])[-1]
        return prod(output) * prod(right[1:])

    def _size(self, name: str) -> Dims:
        return self.shapes[name] if name in self.shapes else self.constants[name].array.shape

    def _bytes(self, step: Step) -> int:
        new = [name for name in dict.fromkeys(step.inputs) if name in self.constants and name not in self.paid]
        self.paid.update(new)
        return sum(stored(self.constants[name]) for name in new)


def stored(constant: Constant) -> int:
    """Bytes of a constant at its width."""
    width = 32 if constant.grid is None else constant.grid.bits
    return ceil(constant.array.size * width / 8)


def _bits(grid: Grid) -> str:
    return f"{grid.bits}{'u' if grid.low >= 0 else ''}"
