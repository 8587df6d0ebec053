"""What a program is given: a batch of images, or several arrays that belong together, as of sentences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import MOVES, Array, Input, Program, sizes

Given = Array | tuple[Array, ...]
"""A batch: of images, or of several inputs in the order of the program."""


def parts(given: Given) -> tuple[Array, ...]:
    """One array for every input."""
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def length(given: Given) -> int:
    """How many images, or sentences."""
    return len(parts(given)[0])


def cut(given: Given, start: int, stop: int) -> tuple[Array, ...]:
    """Those from ``start`` to before ``stop``."""
    return tuple(part[start:stop] for part in parts(given))


@final
@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a program takes in, and the indices that it has rows for."""

    inputs: tuple[Input, ...]
    limits: dict[str, int]
    """Of an input that says which rows of a table to take: how many rows there are."""

    @classmethod
    def of(cls, program: Program) -> Wanted:
        """Of every input of a checked program."""
        return cls(inputs=program.inputs, limits=limits_of(program))

    def taken(self, given: Given) -> tuple[Array, ...]:
        """The arrays as every engine takes them; whatever does not fit is refused in a sentence."""
        arrays = parts(given)
        if len(arrays) != len(self.inputs):
            names = ", ".join(each.name for each in self.inputs)
            raise ValueError(f"this model takes {len(self.inputs)} arrays ({names}), and was given {len(arrays)}")
        taken = tuple(self._one(each, array) for each, array in zip(self.inputs, arrays, strict=True))
        if len({len(array) for array in taken}) > 1:
            counts = ", ".join(f"{len(a)} of {each.name}" for each, a in zip(self.inputs, taken, strict=True))
            raise ValueError(f"the arrays of a batch have one length, and there are {counts}")
        return taken

    def _one(self, wanted: Input, given: Array) -> Array:
        array = np.asarray(given)
        if wanted.kind == "floats":
            return self._shaped(wanted, np.ascontiguousarray(array, np.float32), "images")
        if array.dtype.kind not in "iub":
            raise ValueError(f"{wanted.name} are whole numbers, and these are of {array.dtype}")
        array = self._shaped(wanted, np.ascontiguousarray(array, np.int64), wanted.name)
        limit = self.limits.get(wanted.name)
        if limit is not None and (array.min() < 0 or array.max() >= limit):
            wrong = array.min() if array.min() < 0 else array.max()
            raise ValueError(f"{wanted.name} has {wrong} in it, and this model knows 0 to {limit - 1}")
        return array

    def _shaped(self, wanted: Input, array: Array, what: str) -> Array:
        if array.ndim == 0 or not len(array) or array.shape != sizes(wanted.dims, len(array)):
            shape = " x ".join(map(str, wanted.dims[1:]))
            one = "one image is a batch of one" if wanted.kind == "floats" else "pad or cut sentences to this length"
            raise ValueError(f"{what} of {array.shape} are no batch of {shape}: {one}")
        return array


def limits_of(program: Program) -> dict[str, int]:
    """Of every input whose numbers choose rows: of how many, where the shortest table counts."""
    known = shapes(program, -1)
    origins = {each.name: {each.name} for each in program.inputs if each.kind == "indices"}
    limits: dict[str, int] = {}
    for step in program.steps:
        if step.op == "gather":
            rows = known[step.inputs[0]][step.settings["axis"]]
            for name in origins.get(step.inputs[1], ()):
                limits[name] = min(limits.get(name, rows), rows)
        if step.op in MOVES:
            origins[step.output] = set().union(*_moved(step.op, step.inputs, origins))
    return limits


def _moved(op: str, inputs: tuple[str, ...], origins: dict[str, set[str]]) -> Iterator[set[str]]:
    """The origins of what a move moves; what says which elements to take is not moved."""
    return (origins.get(name, set()) for name in (inputs[:1] if op == "gather" else inputs))
