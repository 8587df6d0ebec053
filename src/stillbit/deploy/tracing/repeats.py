"""Constants that say the same all along an axis have length one there; no value that is computed changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import Array, Constant, Dims, Program

SPREADS = {"add", "sub", "mul", "div", "where", "compare", "clamp", "quantize"}
"""Operations that repeat an input along an axis of length one by themselves."""


def shrunk(program: Program) -> Program:
    """Every constant that a step would spread by itself as small as it can be."""
    known = shapes(program, -1)
    constants, steps = dict(program.constants), []
    for step in program.steps:
        inputs = list(step.inputs)
        for place, name in enumerate(inputs if step.op in SPREADS else ()):
            held = constants.get(name)
            if held is None or held.grid is not None:
                continue
            others = [known[other] for other in (*inputs[:place], *inputs[place + 1 :])]
            array = narrowed(held.array, others, known[step.output])
            if array.shape != held.array.shape:
                inputs[place] = f"{step.output} {place}"
                constants[inputs[place]] = Constant(array=array)
                known[inputs[place]] = array.shape
        steps.append(replace(step, inputs=tuple(inputs)))
    return replace(program, steps=tuple(steps), constants=constants)


def narrowed(array: Array, others: list[Dims], output: Dims) -> Array:
    """``array`` with length one along axes where it is the same, as far as the others give the output its shape."""
    for axis in range(-array.ndim, 0):
        given = any(len(dims) >= -axis and dims[axis] == output[axis] for dims in others)
        if given and array.shape[axis] > 1 and _same(array, array.take([0], axis)):
            array = array.take([0], axis)
    while array.ndim > 1 and array.shape[0] == 1 and any(len(dims) == len(output) for dims in others):
        array = array[0]
    return np.ascontiguousarray(array)


def _same(array: Array, other: Array) -> bool:
    """In every bit: zero is not minus zero here."""
    bits = np.int32 if array.dtype == np.float32 else array.dtype
    return bool((np.ascontiguousarray(array).view(bits) == np.ascontiguousarray(other).view(bits)).all())
