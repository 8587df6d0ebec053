"""Fewer passes over memory: what constants do to a tensor one after the other, they do at once.

Additions of constants are gathered behind multiplications by constants, and both are merged; an addition behind a
LayerNorm becomes its bias. Floats come out in another order of operations, so they differ in the last bits, and codes
where a value lies on the boundary between two. Steps that quantize keep their names.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import count

import numpy as np

from stillbit.deploy.program import Array, Constant, Program, Step, used


def shortened(program: Program) -> Program:
    """The same program with fewer steps."""
    while (shorter := _Shortening(program).program()) is not None:
        program = shorter
    return program


class _Shortening:
    """One walk over a program; each step may be joined to the one before."""

    def __init__(self, program: Program) -> None:
        self.before = program
        self.constants = dict(program.constants)
        self.made: dict[str, Step] = {}
        self.reads = Counter(name for step in program.steps for name in step.inputs)
        self.reads[program.output] += 1
        self.changed = False

    def program(self) -> Program | None:
        """What came of it; None if nothing changed."""
        for step in self.before.steps:
            joined = self._joined(step)
            self.changed |= joined is not None
            self.made[step.output] = joined or step
        if not self.changed:
            return None
        return used(replace(self.before, steps=tuple(self.made.values()), constants=self.constants))

    def _joined(self, step: Step) -> Step | None:
        """The step done on what the step before it was done on."""
        tensor, constant = self._parts(step)
        if step.op == "sub" and constant is not None:
            return replace(step, op="add", inputs=(tensor, self._constant(-constant)), settings={})
        first = self.made.get(tensor)
        if constant is None or first is None:
            return None
        inner, already = self._parts(first)
        alone, joined = self.reads[tensor] == 1, None
        if already is not None and step.op == first.op:
            joined = self._merged(step, inner, already, constant)
        elif already is not None and alone and (first.op, step.op) == ("add", "mul"):
            joined = self._swapped(step, inner, already, constant)
        elif alone and (first.op, step.op) == ("layer_norm", "add"):
            joined = self._biased(step, first, constant)
        return joined

    def _parts(self, step: Step) -> tuple[str, Array | None]:
        """The tensor that a step changes, and the constant by which it does, if it is one."""
        if step.op not in ("add", "sub", "mul"):
            return "", None
        if "by" in step.settings:
            return step.inputs[0], np.asarray(step.settings["by"], np.float32)
        known = [name for name in step.inputs if name in self.constants]
        others = [name for name in step.inputs if name not in self.constants]
        if len(known) != 1 or (step.op == "sub" and step.inputs[0] in known):
            return "", None
        return others[0], self.constants[known[0]].array

    def _merged(self, step: Step, inner: str, already: Array, constant: Array) -> Step | None:
        """One constant for two, unless that is larger than both."""
        whole = already + constant if step.op == "add" else already * constant
        if whole.size > max(already.size, constant.size):
            return None
        return replace(step, inputs=(inner, self._constant(whole)), settings={})

    def _swapped(self, step: Step, inner: str, added: Array, factor: Array) -> Step | None:
        """``(x + c) * m`` as ``x * m + c * m``: factors come to stand together, right behind a product."""
        shift = added * factor
        if shift.size > max(added.size, factor.size):
            return None
        name = f"{step.output}*"
        self.made[name] = replace(step, inputs=(inner, self._constant(factor)), settings={}, output=name)
        self.reads[name] = 1
        return replace(step, op="add", inputs=(name, self._constant(shift)), settings={})

    def _biased(self, step: Step, norm: Step, constant: Array) -> Step | None:
        if len(norm.inputs) < 3 or any(name not in self.constants for name in norm.inputs[1:]):
            return None
        bias = self.constants[norm.inputs[2]].array
        if constant.ndim > bias.ndim or (constant + bias).shape != bias.shape:
            return None
        inputs = (*norm.inputs[:2], self._constant(bias + constant))
        return replace(norm, inputs=inputs, output=step.output)

    def _constant(self, array: Array) -> str:
        number = next(number for number in count(len(self.constants)) if f"joined{number}" not in self.constants)
        name = f"joined{number}"
        self.constants[name] = Constant(array=array.astype(np.float32))
        return name
