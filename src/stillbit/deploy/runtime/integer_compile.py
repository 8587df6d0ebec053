"""A plan, compiled: what stands between two products becomes one pass, written and built by torch's compiler.

It takes a C++ compiler, and time: so the blocks of a network that are alike are compiled once. Instructions that repeat
are found by what they do and what shapes they meet; the constants of a block are inputs of its function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, final

import torch
from torch import Tensor

from stillbit.deploy.runtime.integer_plan import BATCH_PLACE, Instruction, Plan, Tensors

Function = Callable[..., Sequence[Tensor]]
Places = tuple[int, ...]
SHORTEST = 8
"""Repetitions of fewer instructions are not worth a call of their own."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Instructions that are one function: which places it reads, and which it writes for others."""

    inputs: Places
    outputs: Places
    freed: Places
    """Inputs that nobody reads afterwards."""
    function: Function


@final
class Compiled:
    """A plan for batches of one size."""

    def __init__(self, plan: Plan, batch: Tensors, *, watched: bool = False) -> None:
        """``batch`` is one of that size; ``watched``: codes and sums are put out too."""
        self.plan, self.watched = plan, watched
        values = _recorded(plan, batch)
        spoken = [_spoken(instruction, values) for instruction in plan.instructions]
        functions: dict[Any, Function] = {}
        self.segments = []
        cuts = cut(spoken)
        for begin, end in pairwise(cuts):
            inside, later = plan.instructions[begin:end], plan.instructions[end:]
            inputs, outputs = self._ends(inside, later)
            key = (tuple(spoken[begin:end]), _wired(inside, inputs), tuple(_numbers(inside)[o] for o in outputs))
            freed = () if watched else tuple(p for i in inside for p in i.freed if p in inputs)
            if key not in functions:
                functions[key] = compiled(inside, inputs, outputs, values)
            self.segments.append(Segment(inputs=inputs, outputs=outputs, freed=freed, function=functions[key]))

    def run(self, batch: Tensors) -> Tensor:
        """What the plan makes of a batch of the size it was compiled for."""
        result: Tensor = self._values(batch)[self.plan.places[self.plan.program.output]]
        return result

    def watch(self, batch: Tensors) -> Iterator[tuple[str, Tensor]]:
        """Codes and sums by name."""
        assert self.watched, "codes stay inside of what is compiled without them"
        values = self._values(batch)
        return ((i.watched, values[i.output]) for i in self.plan.instructions if i.watched)

    def _values(self, batch: Tensors) -> dict[int, Any]:
        values: dict[int, Any] = dict(enumerate((len(batch[0]), *batch)))
        start = self.plan.start
        for segment in self.segments:
            made = segment.function(*[values[p] if p in values else start[p] for p in segment.inputs])
            values.update(zip(segment.outputs, made, strict=True))
            for place in segment.freed:
                del values[place]
        return values

    def _ends(self, inside: Sequence[Instruction], later: Sequence[Instruction]) -> tuple[Places, Places]:
        """Places that are read and not written inside, and those written inside and read later, or looked at."""
        written = _numbers(inside)
        inputs = dict.fromkeys(p for i in inside for p in i.inputs if p not in written and p != BATCH_PLACE)
        read = {place for instruction in later for place in instruction.inputs}
        read |= {i.output for i in inside if i.watched and self.watched}
        read.add(self.plan.places[self.plan.program.output])
        return tuple(inputs), tuple(place for place in written if place in read)


def cut(spoken: Sequence[str]) -> list[int]:
    """Where segments begin and end, so that as much as possible is said again and again."""
    count, best = len(spoken), (0, 0, 0)
    for period in range(SHORTEST, count // 2 + 1):
        run = 0
        for at in range(count - period):
            run = run + 1 if spoken[at] == spoken[at + period] else 0
            covered = (run // period + 1) * period if run >= period else 0
            best = max(best, (covered, -period, -(at - run + 1)))
    covered, period, begin = best[0], -best[1], -best[2]
    if not covered:
        return [0, count]
    return sorted({0, *range(begin, begin + covered + 1, period), count})


def _recorded(plan: Plan, batch: Tensors) -> list[Any]:
    """Every value of a batch: their shapes are what is compiled for."""
    values = plan.begun(batch)
    for instruction in plan.instructions:
        values[instruction.output] = instruction.run(*[values[place] for place in instruction.inputs])
    return values


def _spoken(instruction: Instruction, values: list[Any]) -> str:
    """What it does, of which shapes."""
    inputs = [values[place] for place in instruction.inputs]
    shapes = [(x.dtype, tuple(x.shape), x.stride()) if isinstance(x, Tensor) else x for x in inputs]
    return f"{instruction.step.op} {instruction.step.settings} {shapes}"


def _numbers(inside: Sequence[Instruction]) -> dict[int, int]:
    return {instruction.output: number for number, instruction in enumerate(inside)}


def _wired(inside: Sequence[Instruction], inputs: Places) -> tuple[Places, ...]:
    """Who reads what, in numbers that do not depend on where the segment stands."""
    place = {**{p: -1 - n for n, p in enumerate(inputs)}, **_numbers(inside), BATCH_PLACE: -len(inputs) - 1}
    return tuple(tuple(place[p] for p in instruction.inputs) for instruction in inside)


def compiled(inside: Sequence[Instruction], inputs: Places, outputs: Places, values: list[Any]) -> Function:
    """One function of the instructions."""
    from torch._inductor import compile as build
    from torch.fx.experimental.proxy_tensor import make_fx

    batch, kept = values[0], tuple(inside)

    def function(*given: Tensor) -> tuple[Tensor, ...]:
        held: dict[int, Any] = {BATCH_PLACE: batch, **dict(zip(inputs, given, strict=True))}
        for instruction in kept:
            held[instruction.output] = instruction.run(*[held[place] for place in instruction.inputs])
        return tuple(held[place] for place in outputs)

    example = [values[place] for place in inputs]
    with torch.no_grad():
        function_of: Function = build(make_fx(function)(*example), example)
    return function_of
