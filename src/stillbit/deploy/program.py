"""A network as a list of steps on named values: what a packed file holds, and what every runtime runs.

A value is a tensor of floats, or of *codes*: integers with a `Grid` of their own. Only three operations know codes:

* ``quantize`` makes them: ``code = clamp(round(x / scale - offset), low, high)``, rounded half to even;
* ``product`` and ``convolution`` multiply them: ``sum (a + offset_a) * (b + offset_b)``, exact, a float afterwards;
* ``level`` makes them a float again: ``code + offset``.

All that only moves elements (reshape, permute, slice, ...) moves codes as it moves floats. Everything else is float32,
but for *indices*: whole numbers that say which rows of a table to take. A program may be given some (the words of a
sentence); ``number`` makes floats of them and ``index`` makes them of floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from numpy.typing import NDArray

Array = NDArray[Any]
Dims = tuple[int, ...]
"""Sizes; a negative one, -k, is k times the size of the batch."""

MOVES = ("reshape", "expand", "permute", "select", "slice", "cat", "pad", "roll", "gather")
"""Operations that move elements and compute nothing; what is padded to codes is the value zero."""
MULTIPLIES = ("product", "convolution")
FLOATS = (
    *("add", "sub", "mul", "div", "neg", "abs", "exp", "sqrt", "rsqrt", "clamp", "compare", "where"),
    *("relu", "gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid", "softmax", "layer_norm"),
    *("mean", "sum", "cumsum", "max", "norm", "matmul", "conv", "max_pool", "avg_pool"),
)
INDICES = ("number", "index")
"""Floats of indices, and indices of floats."""
OPERATIONS = ("quantize", "level", *INDICES, *MULTIPLIES, *MOVES, *FLOATS)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The integers that codes are, and what lies between a code and its level."""

    low: int
    high: int
    offset: float = 0.0

    @property
    def bits(self) -> int:
        """The width that holds every code."""
        return max((self.high - self.low).bit_length(), 1)


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A tensor that does not change: float32, int64 (indices), or codes, if there is a grid."""

    array: Array
    grid: Grid | None = None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation: what it takes in, by name, what it puts out, and its settings, as JSON has them."""

    op: str
    inputs: tuple[str, ...]
    output: str
    settings: dict[str, Any]
    layer: str
    """The module of the model that it is of."""


@dataclass(frozen=True)
class Rounding:
    """A rounding of the training model, and where a program does it."""

    step: str = ""
    """What the quantize step puts out; empty for a weight's, which has no step: it is rounded while tracing."""
    moves: tuple[tuple[str, Dims], ...] = ()
    """What makes the model's codes lie as the step's do: ``("permute", axes)`` and ``("reshape", shape)``, in order."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a program is given: an image, the words of a sentence, which of them are padding."""

    name: str
    dims: Dims
    kind: Literal["floats", "indices"] = "floats"


@dataclass(frozen=True, kw_only=True)
class Program:
    """The steps in order."""

    inputs: tuple[Input, ...]
    output: str
    steps: tuple[Step, ...]
    constants: dict[str, Constant]
    roundings: tuple[Rounding, ...] = field(default=(), compare=False)
    """Those of the training model, in its order; several may be one step. Known to `trace`: no file keeps them."""

    @property
    def shape(self) -> Dims:
        """Of the first input: all that there is to say of a program that takes images."""
        return self.inputs[0].dims


def sizes(dims: Dims, batch: int) -> Dims:
    """The sizes for a batch of this many."""
    return tuple(-d * batch if d < 0 else d for d in dims)


def used(program: Program) -> Program:
    """Without steps and constants that the output does not depend on."""
    needed, kept = {program.output}, []
    for step in reversed(program.steps):
        if step.output in needed:
            needed.update(step.inputs)
            kept.append(step)
    constants = {name: held for name, held in program.constants.items() if name in needed}
    names = {step.output for step in kept}
    roundings = tuple(each if each.step in names else Rounding() for each in program.roundings)
    return replace(program, steps=tuple(reversed(kept)), constants=constants, roundings=roundings)
