"""Test vectors: what goes into every integer step of a program and what comes out, for who builds it elsewhere.

One safetensors file, plain tensors by the names of the program's values. Its metadata hold an index, as JSON: the steps
with their layers, settings and tensors, and the scales around each. docs/deploy/format.md explains it with an example.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from stillbit.deploy.file.check import check
from stillbit.deploy.file.container import seal, write_sealed
from stillbit.deploy.file.pack import kind_of
from stillbit.deploy.file.strict import written
from stillbit.deploy.inputs import Given, Wanted, length
from stillbit.deploy.program import MOVES, MULTIPLIES, Array, Program, Step
from stillbit.deploy.runtime import reference

FORMAT = "stillbit vectors"
VERSION = 1
AFFINE = ("add", "sub", "mul", "div")


def dump(program: Program, given: Given, path: str | os.PathLike[str]) -> None:
    """Run the reference on a batch, and write down all that is integer; all of the file or nothing."""
    check(program)
    batch = Wanted.of(program).taken(given)
    kinds, around = _kinds(program), _Around(program)
    tensors: dict[str, Array] = {}
    index = []
    for number, (step, inputs, value) in enumerate(reference.steps(program, batch)):
        if step.op in ("quantize", *MULTIPLIES):
            index.append({"step": number, **_entry(step, around)})
            for name, held in zip(step.inputs, inputs, strict=True):
                tensors[name] = np.asarray(held, kinds.get(name, np.float32))
            sums = step.op != "quantize"
            tensors[step.output] = (
                reference.accumulator(step, *inputs).astype(np.int32) if sums else value.astype(kinds[step.output])
            )
    tensors |= {name: program.constants[name].array for name in sorted(around.mentioned)}
    said = {"images": length(batch), "steps": index}
    write_sealed(path, seal({"format": FORMAT, "version": str(VERSION), "index": written(said)}, tensors))


def _entry(step: Step, around: _Around) -> dict[str, Any]:
    """What the index says of a step."""
    said = {"layer": step.layer, "op": step.op, **step.settings, "inputs": list(step.inputs)}
    if step.op == "quantize":
        return {**said, "codes": step.output}
    scales = [around.scale(name) for name in step.inputs]
    return {**said, "sums": step.output, "divisor": _divisor(step), "scales": scales, "then": around.then(step.output)}


def _divisor(step: Step) -> int:
    """What the sums of doubled codes have to be divided by."""
    return 1 << sum(1 for offset in step.settings["offsets"] if offset)


def _kinds(program: Program) -> dict[str, Any]:
    """The integers that hold the codes of a value, by its grid: the same for any images."""
    kinds: dict[str, Any] = {}
    for name, constant in program.constants.items():
        if constant.grid is not None:
            kinds[name] = kind_of(constant.grid.low, constant.grid.bits)
    for step in program.steps:
        if step.op == "quantize":
            low, high = step.settings["low"], step.settings["high"]
            kinds[step.output] = kind_of(low, (high - low).bit_length())
        elif step.op in MOVES:
            codes = [kinds[name] for name in step.inputs if name in kinds]
            kinds |= {step.output: max(codes, key=lambda kind: np.dtype(kind).itemsize)} if codes else {}
    return kinds


class _Around:
    """What stands before and behind a multiplication of codes: the floats that make values of them."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.makers = {step.output: step for step in program.steps}
        self.users: dict[str, list[Step]] = {}
        self.mentioned: set[str] = set()
        for step in program.steps:
            for name in step.inputs:
                self.users.setdefault(name, []).append(step)

    def scale(self, name: str) -> str | None:
        """The scale by which codes were made; those of a weight have theirs behind the product."""
        while name in self.makers and self.makers[name].op in MOVES:
            name = self.makers[name].inputs[0]
        maker = self.makers.get(name)
        if maker is None or len(maker.inputs) < 2:
            return None
        return self._mention(maker.inputs[1])

    def then(self, name: str) -> list[dict[str, Any]]:
        """Arithmetic with constants and numbers behind a product, as long as nobody else reads what it makes."""
        found: list[dict[str, Any]] = []
        while len(users := self.users.get(name, [])) == 1 and users[0].op in AFFINE and users[0].inputs[0] == name:
            step = users[0]
            others = step.inputs[1:]
            if any(other not in self.program.constants for other in others):
                break
            found.append({"op": step.op, "by": self._mention(others[0]) if others else step.settings["by"]})
            name = step.output
        return found

    def _mention(self, name: str) -> str:
        self.mentioned.add(name)
        return name
