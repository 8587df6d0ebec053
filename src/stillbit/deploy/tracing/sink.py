"""Operations on single elements before moves, not behind them, where that pays.

``quantize(permute(x))`` is ``permute(quantize(x))`` in every bit. Where a later permute undoes the first one, neither
is needed then. And a constant that a reshape forces to repeat itself (a shift a head, for heads that lie one below the
other) is small before the reshape.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import final

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import Array, Constant, Dims, Program, Rounding, Step
from stillbit.deploy.tracing.repeats import narrowed

ELEMENTWISE = {
    *("add", "sub", "mul", "div", "neg", "abs", "exp", "sqrt", "rsqrt", "clamp", "quantize", "level"),
    *("relu", "gelu", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid"),
}
WORTH = 4096
"""Bytes of constants that a reshape has to cost before something is done about it."""


def sunk(program: Program) -> Program:
    """Moves behind what is done to single elements, where it saves a move or a large constant."""
    sinker = _Sinker(program)
    for step in program.steps:
        sinker.take(step)
    return replace(program, steps=tuple(sinker.steps), constants=sinker.constants, roundings=tuple(sinker.roundings))


@final
class _Sinker:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.constants = dict(program.constants)
        self.roundings = list(program.roundings)
        self.known = shapes(program, -1)
        self.readers: dict[str, list[Step]] = defaultdict(list)
        for step in program.steps:
            for name in set(step.inputs):
                self.readers[name].append(step)
        self.made: dict[str, Step] = {}
        self.steps: list[Step] = []

    def take(self, step: Step) -> None:
        """Keep a step, or let it change places with the move before it."""
        move = self.made.get(self._only(step) or "")
        if move is not None and move.op in ("permute", "reshape") and self._pays(step, move):
            step, move = self._exchanged(step, move)
            self._add(step)
            self._add(move)
        else:
            self._add(step)

    def _add(self, step: Step) -> None:
        self.steps.append(step)
        self.made[step.output] = step

    def _only(self, step: Step) -> str | None:
        """The one value that a step on single elements takes in and puts out changed; all else are constants."""
        taken = {name for name in step.inputs if name not in self.program.constants}
        if step.op not in ELEMENTWISE or len(taken) != 1:
            return None
        (name,) = taken
        return name if self.known[name] == self.known[step.output] else None

    def _pays(self, step: Step, move: Step) -> bool:
        if move.op == "permute":
            return self._undone(step, move.settings["axes"])
        before, behind = self.known[move.inputs[0]], self.known[move.output]
        return (
            before[0] == behind[0]
            and min((*before[1:], *behind[1:]), default=1) > 0
            and (self._saves(step, before, behind) >= WORTH)
        )

    def _undone(self, step: Step, axes: list[int]) -> bool:
        """Whether all that reads the output is a permute that leads back, perhaps after more of the same kind."""
        readers = self.readers[step.output]
        if len(readers) != 1 or step.output == self.program.output:
            return False
        if readers[0].op == "permute":
            return [axes[axis] for axis in readers[0].settings["axes"]] == sorted(axes)
        return self._only(readers[0]) is not None and self._undone(readers[0], axes)

    def _saves(self, step: Step, before: Dims, behind: Dims) -> int:
        """Bytes of constants that are not needed if this step, and those that follow it, come before the reshape."""
        saved = 0
        for name in step.inputs:
            if name in self.program.constants:
                array = self.program.constants[name].array
                saved += array.nbytes - self._reshaped(array, before, behind).nbytes
        later = (self._saves(each, before, behind) for each in self.readers[step.output] if self._only(each))
        return saved + sum(max(0, more) for more in later)

    def _reshaped(self, array: Array, before: Dims, behind: Dims) -> Array:
        """A constant as it is added, or whatever is done with it, before the reshape."""
        if array.size == 1:
            return array.reshape(1)
        whole = np.broadcast_to(array, (1, *behind[1:])).reshape(1, *before[1:])
        return narrowed(whole, [before], before)

    def _exchanged(self, step: Step, move: Step) -> tuple[Step, Step]:
        """The step on what was moved, and the move of what it puts out."""
        source, inputs = move.inputs[0], []
        before, behind = self.known[source], self.known[move.output]
        for name in step.inputs:
            if name not in self.program.constants:
                inputs.append(source)
                continue
            array = self.program.constants[name].array
            if move.op == "reshape":
                array = self._reshaped(array, before, behind)
            else:
                array = array.reshape((1,) * (len(behind) - array.ndim) + array.shape)
                array = narrowed(array.transpose(np.argsort(move.settings["axes"])), [before], before)
            inputs.append(f"{step.output} {name}")
            self.constants[inputs[-1]] = Constant(array=array)
        early = replace(step, inputs=tuple(inputs), output=f"{step.output} early")
        self.known[early.output] = before
        if step.op == "quantize":
            self._lie_otherwise(step.output, early.output, move, before)
        return early, replace(move, inputs=(early.output,), output=step.output)

    def _lie_otherwise(self, old: str, new: str, move: Step, before: Dims) -> None:
        """The training model's codes lie as they did before the exchange."""
        back = ("reshape", before)
        if move.op == "permute":
            back = ("permute", tuple(int(axis) for axis in np.argsort(move.settings["axes"])))
        self.roundings = [Rounding(new, (*each.moves, back)) if each.step == old else each for each in self.roundings]
