"""A program as a list of instructions on numbered places: all that can be known before an image comes is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

from torch import Tensor

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import MULTIPLIES, Program, Step
from stillbit.deploy.runtime.fold import computed, fold, split
from stillbit.deploy.runtime.integer_steps import BATCH, Known, Prepared, Run, ends_of, prepared, tensor_of

BATCH_PLACE = 0
"""The places behind it are the inputs'."""
Tensors = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """A step, ready to run."""

    run: Run
    inputs: tuple[int, ...]
    output: int
    freed: tuple[int, ...]
    """Places that nobody reads afterwards."""
    watched: str
    """What the program calls the codes or the sums that it puts out, or nothing."""
    step: Step


@final
class Plan:
    """Runs a batch after another."""

    def __init__(self, program: Program, *, exact: bool = False, traced: bool = False) -> None:
        """``exact``: a float operation at a time, in the program's order; else folded. ``traced``: to be compiled."""
        whole = computed(program)
        self.program = split(whole) if exact else fold(whole)
        begun = (BATCH, *(each.name for each in program.inputs))
        self.places = {name: place for place, name in enumerate(begun)}
        self.start: list[Any] = [None] * len(begun)
        self.instructions: list[Instruction] = []
        watched = {step.output for step in whole.steps if step.op in ("quantize", *MULTIPLIES)}
        known = _known(whole, self.program, traced=traced)
        ready = [prepared(step, known, exact=exact) for step in self.program.steps]
        last = {name: number for number, each in enumerate(ready) for name in each.inputs if isinstance(name, str)}
        last |= {BATCH: len(ready), self.program.output: len(ready)}
        for number, (step, each) in enumerate(zip(self.program.steps, ready, strict=True)):
            names = {name for name in each.inputs if isinstance(name, str)}
            freed = tuple(self.places[name] for name in names if last[name] == number)
            self._add(step, each, freed, step.output if step.output in watched else "")
        self.program = replace(self.program, constants={})  # they are in the places, laid out

    def _add(self, step: Step, ready: Prepared, freed: tuple[int, ...], watched: str) -> None:
        inputs = tuple(self.places[x] if isinstance(x, str) else self._place(x) for x in ready.inputs)
        output = self.places[step.output] = self._place(None)
        made = Instruction(run=ready.run, inputs=inputs, output=output, freed=freed, watched=watched, step=step)
        self.instructions.append(made)

    def _place(self, value: Any) -> int:
        """A new one, with what is there from the start."""
        self.start.append(value)
        return len(self.start) - 1

    def begun(self, batch: Tensors) -> list[Any]:
        """What is in the places when a batch comes."""
        given = [len(batch[0]), *batch]
        return [*given, *self.start[len(given) :]]

    def run(self, batch: Tensors) -> Tensor:
        """What the program makes of a batch."""
        values = self.begun(batch)
        for instruction in self.instructions:
            values[instruction.output] = instruction.run(*[values[place] for place in instruction.inputs])
            for place in instruction.freed:
                values[place] = None
        result: Tensor = values[self.places[self.program.output]]
        return result

    def watch(self, batch: Tensors, forced: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """The same, and shows codes and sums by name; where codes are ``forced``, it goes on with these."""
        values = self.begun(batch)
        for instruction in self.instructions:
            value = instruction.run(*[values[place] for place in instruction.inputs])
            if instruction.watched:
                yield instruction.watched, value
                if instruction.watched in forced:
                    value = forced[instruction.watched].to(value.dtype)
            values[instruction.output] = value
            for place in instruction.freed:
                values[place] = None


def _known(whole: Program, rewritten: Program, *, traced: bool) -> Known:
    dims = shapes(whole, -1)
    terms = {step.output: dims[step.inputs[0]][-1] for step in whole.steps if step.op == "product"}
    constants = {name: tensor_of(held) for name, held in rewritten.constants.items()}
    return Known(constants=constants, ends=ends_of(rewritten), terms=terms, traced=traced)
