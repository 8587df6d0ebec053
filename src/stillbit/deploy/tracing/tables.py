"""Tables of rows: what a model does to the rows that it looked up is done to the table, once.

``quantize(table[words])`` is ``quantize(table)[words]`` in every bit, as long as it works on single elements and every
table in it is asked for the same words. The program then holds codes of the table, and not its floats. A table that is
always asked for the same rows is these rows.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from math import prod
from typing import final

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import MOVES, Array, Constant, Grid, Program, Step, used
from stillbit.deploy.runtime.reference import OPERATIONS
from stillbit.deploy.tracing.sink import ELEMENTWISE


def tabled(program: Program) -> Program:
    """With codes in its tables."""
    tables = _Tables(program)
    for step in program.steps:
        tables.take(step)
    return used(replace(program, steps=tuple(tables.steps), constants=tables.constants))


@final
class _Tables:
    """Goes over the steps once; what needs no step any more is in `constants`, or a look-up."""

    def __init__(self, program: Program) -> None:
        self.constants = dict(program.constants)
        self.output = program.output
        self.steps: list[Step] = []
        self.known = shapes(program, -1)
        self.readers: dict[str, list[Step]] = defaultdict(list)
        for step in program.steps:
            for name in set(step.inputs):
                self.readers[name].append(step)
        self.looked: dict[str, Step] = {}
        """Steps that look up rows of constants, by their outputs."""

    def take(self, step: Step) -> None:
        """Keep a step, or do it now."""
        if self._is_known(step):
            self.constants[step.output] = self._done(step, [self.constants[name] for name in step.inputs])
            return
        index = self._index(step)
        if index is not None and self._is_rounded(step):
            name = f"{step.output} of all"
            self.constants[name] = self._done(step, [self._table(each) for each in step.inputs])
            step = Step(op="gather", inputs=(name, index), output=step.output, settings={"axis": 0}, layer=step.layer)
        if step.op == "gather" and step.settings["axis"] == 0 and step.inputs[0] in self.constants:
            self.looked[step.output] = step
        self.steps.append(self._whole(step))

    def _done(self, step: Step, held: list[Constant]) -> Constant:
        array = OPERATIONS[step.op](*(each.array for each in held), **step.settings)
        if step.op == "quantize":
            grid = Grid(**{name: step.settings[name] for name in ("low", "high", "offset")})
            kind = np.int8 if grid.low >= -128 and grid.high < 128 else np.int16
            return Constant(array=array.astype(kind), grid=grid)
        return Constant(array=np.ascontiguousarray(array), grid=held[0].grid if step.op in MOVES else None)

    def _is_known(self, step: Step) -> bool:
        """Whether no input leads to it, and to compute it makes the program no larger: levels are floats."""
        if step.op == "level" or step.output == self.output or not all(name in self.constants for name in step.inputs):
            return False
        if step.op not in ELEMENTWISE and step.op not in MOVES:
            return False
        dims = self.known[step.output]
        largest = max(self.constants[name].array.size for name in step.inputs[: 1 if step.op == "gather" else None])
        return min(dims, default=1) > 0 and prod(dims) <= largest

    def _index(self, step: Step) -> str | None:
        """Which rows a step on single elements works on, if all of its tables are asked for the same ones."""
        if step.op not in ELEMENTWISE:
            return None
        tables = [self.looked[name] for name in step.inputs if name in self.looked]
        if not tables or len({table.inputs[1] for table in tables}) > 1:
            return None
        ranks = {self.constants[table.inputs[0]].array.ndim for table in tables}
        others = [self.constants.get(name) for name in step.inputs if name not in self.looked]
        fit = all(each is not None and (each.array.size == 1 or each.array.ndim < min(ranks)) for each in others)
        return tables[0].inputs[1] if fit and len(ranks) == 1 else None

    def _is_rounded(self, step: Step) -> bool:
        """Whether codes come of it, and nobody wants the floats before."""
        if step.op == "quantize":
            return True
        readers = self.readers[step.output]
        return len(readers) == 1 and readers[0].op in ELEMENTWISE and self._is_rounded(readers[0])

    def _table(self, name: str) -> Constant:
        return self.constants[self.looked[name].inputs[0] if name in self.looked else name]

    def _whole(self, step: Step) -> Step:
        """All elements of an axis, asked for in their order, are the axis."""
        if step.op != "gather" or step.inputs[1] not in self.constants:
            return step
        asked: Array = self.constants[step.inputs[1]].array
        if not np.array_equal(asked.reshape(-1), np.arange(self.known[step.inputs[0]][step.settings["axis"]])):
            return step
        return replace(step, op="reshape", inputs=step.inputs[:1], settings={"shape": list(self.known[step.output])})
