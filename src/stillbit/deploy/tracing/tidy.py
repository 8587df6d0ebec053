"""A program that says everything once: exact, no value changes in any bit.

Steps that compute the same become one, constants that hold the same become one, moves that move nothing are left out,
and two moves of a kind in a row are one. Tables hold codes (`stillbit.deploy.tracing.tables`), what repeats itself in a
constant goes (`stillbit.deploy.tracing.repeats`), and moves that would be undone are not done
(`stillbit.deploy.tracing.sink`).
"""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import blake2b
from typing import final

from stillbit.deploy.file.check_shapes import shape_of
from stillbit.deploy.program import Constant, Dims, Grid, Program, Step, used
from stillbit.deploy.tracing.repeats import shrunk
from stillbit.deploy.tracing.sink import sunk
from stillbit.deploy.tracing.tables import tabled


def tidy(program: Program) -> Program:
    """The same values, said once."""
    return numbered(merged(sunk(merged(shrunk(merged(tabled(merged(used(program)))))))))


def merged(program: Program) -> Program:
    """What is equal is one; what moves nothing is left out."""
    merger = _Merger(program)
    for step in program.steps:
        merger.take(step)
    return used(_renamed(program, merger.names, tuple(merger.steps)))


def numbered(program: Program) -> Program:
    """Values and constants numbered in the order in which they are used."""
    names: dict[str, str] = {}
    known = [name for step in program.steps for name in step.inputs if name in program.constants]
    names |= {name: f"c{number}" for number, name in enumerate(dict.fromkeys(known))}
    names |= {step.output: f"v{number}" for number, step in enumerate(program.steps)}
    steps = tuple(replace(step, output=names[step.output]) for step in program.steps)
    return _renamed(program, names, steps)


def _renamed(program: Program, names: dict[str, str], steps: tuple[Step, ...]) -> Program:
    """With other names for what steps take in."""

    def new(name: str) -> str:
        return names.get(name, name)

    return replace(
        program,
        output=new(program.output),
        steps=tuple(replace(step, inputs=tuple(map(new, step.inputs))) for step in steps),
        constants={new(name): held for name, held in program.constants.items()},
        roundings=tuple(replace(each, step=new(each.step)) for each in program.roundings),
    )


@final
class _Merger:
    """Goes through the steps once and remembers what it has seen."""

    def __init__(self, program: Program) -> None:
        self.names: dict[str, str] = {}
        """What a value is called that is another, too."""
        self.steps: list[Step] = []
        self.made: dict[str, Step] = {}
        self.seen: dict[tuple[str, tuple[str, ...], str], str] = {}
        self.dims: dict[str, Dims] = {each.name: each.dims for each in program.inputs}
        kinds: dict[tuple[bytes, Dims, str, Grid | None], str] = {}
        for name, held in program.constants.items():
            self.names[name] = kinds.setdefault(_content(held), name)
            self.dims[name] = held.array.shape

    def take(self, step: Step) -> None:
        """Keep a step, or remember which value its output is."""
        step = self._shorter(replace(step, inputs=tuple(self.names.get(name, name) for name in step.inputs)))
        dims = shape_of(step, [self.dims[name] for name in step.inputs])
        key = (step.op, step.inputs, json.dumps(step.settings, sort_keys=True))
        same = step.inputs[0] if self._does_nothing(step, dims) else self.seen.get(key)
        if same is not None:
            self.names[step.output] = same
            return
        self.seen[key] = step.output
        self.dims[step.output] = dims
        self.made[step.output] = step
        self.steps.append(step)

    def _shorter(self, step: Step) -> Step:
        """A move of a move, as one move."""
        if step.op == "permute":
            before = self.made.get(step.inputs[0])
            if before is not None and before.op == "permute":
                axes = [before.settings["axes"][axis] for axis in step.settings["axes"]]
                step = replace(step, inputs=before.inputs, settings={"axes": axes})
            dims = self.dims[step.inputs[0]]
            longer = [axis for axis in step.settings["axes"] if dims[axis] != 1]
            if longer == sorted(longer):
                step = replace(step, op="reshape", settings={"shape": [dims[axis] for axis in step.settings["axes"]]})
        if step.op in ("reshape", "expand"):
            before = self.made.get(step.inputs[0])
            if before is not None and before.op == step.op:
                return replace(step, inputs=before.inputs)
        return step

    def _does_nothing(self, step: Step, dims: Dims) -> bool:
        match step.op:
            case "reshape" | "expand" | "slice":
                return dims == self.dims[step.inputs[0]] and step.settings.get("step", 1) == 1
            case "permute":
                return list(step.settings["axes"]) == list(range(len(dims)))
            case "cat":
                return len(step.inputs) == 1
            case "pad":
                return not any(map(any, step.settings["around"]))
            case "mul" | "div":
                return bool(step.settings.get("by") == 1)
            case _:
                return False


def _content(held: Constant) -> tuple[bytes, Dims, str, Grid | None]:
    return blake2b(held.array.tobytes()).digest(), held.array.shape, str(held.array.dtype), held.grid
