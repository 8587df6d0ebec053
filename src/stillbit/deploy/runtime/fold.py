"""A program rewritten for speed: what is done to sums of products is gathered, and done once.

Between a product and the next quantizer stand a scale a side, a bias, a factor a head, a reciprocal: products with and
sums of constants. Each alone is a pass over memory. Here a value is a *line*, ``core * scale + shift``, that is drawn
only where somebody needs it; a quantizer takes the line as it is, its own scale included. The rest is the same program,
with five more operations that only `stillbit.deploy.runtime.integer` knows:

* ``accumulate`` and ``windows``: `product` and `convolution` as integers, where a grid without a zero is doubled;
* ``affine``: ``x * scale + shift``;
* ``snap``: ``clamp(round(x * scale + shift), low, high)``, codes;
* ``join``: ``x * scale + y * scale + shift``.

Scale and shift may be absent; the setting ``has`` says which are there. Floats come out in another order of operations,
so they differ in the last bits, and codes where a value lies on the boundary between two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from stillbit.deploy.file.check import shapes
from stillbit.deploy.program import MOVES, Array, Constant, Program, Step, sizes, used
from stillbit.deploy.runtime.fold_passes import absorbed, hoisted, narrow
from stillbit.deploy.runtime.reference import OPERATIONS

INTEGERS = {"product": "accumulate", "convolution": "windows"}
LINEAR = ("add", "sub", "mul", "div", "neg")
Part = Array | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """``core * scale + shift``: of each constant as many axes as the core has, of size one where it repeats."""

    core: str
    scale: Part = None
    shift: Part = None


def computed(program: Program) -> Program:
    """With every step done that reads constants alone, unless its size is that of the batch."""
    constants, kept = dict(program.constants), []
    for step in program.steps:
        grows = any(size < 0 for size in step.settings.get("shape", ()))
        if step.output != program.output and not grows and all(name in constants for name in step.inputs):
            held = [constants[name] for name in step.inputs]
            grid = held[0].grid if step.op in MOVES else None
            constants[step.output] = Constant(
                array=OPERATIONS[step.op](*(each.array for each in held), **step.settings), grid=grid
            )
        else:
            kept.append(step)
    return used(replace(program, steps=tuple(kept), constants=constants))


def split(program: Program) -> Program:
    """With every product in two, integers and the float they stand for, and nothing else changed."""
    steps, constants, names = [], dict(program.constants), dict[str, str]()
    for step in program.steps:
        step = replace(step, inputs=tuple(names.get(name, name) for name in step.inputs))
        if step.op in INTEGERS:
            names[step.output] = f"{step.output}.float"
            factor = f"{step.output}.factor"
            constants[factor] = Constant(array=np.full(1, _factor(step), np.float32))
            steps += [
                replace(step, op=INTEGERS[step.op]),
                _step("affine", (step.output, factor), names[step.output], {"has": [True, False]}, step.layer),
            ]
        else:
            steps.append(step)
    output = names.get(program.output, program.output)
    return replace(program, steps=tuple(steps), constants=constants, output=output)


def fold(program: Program) -> Program:
    """The same function in fewer passes."""
    folder = _Folder(program)
    return absorbed(hoisted(folder.program(), folder.dims))


def _factor(step: Step) -> float:
    """What a sum of doubled codes is worth."""
    return float(0.5 ** sum(offset != 0 for offset in step.settings["offsets"]))


def _step(op: str, inputs: tuple[str, ...], output: str, settings: dict[str, Any], layer: str) -> Step:
    return Step(op=op, inputs=inputs, output=output, settings=settings, layer=layer)


@final
class _Folder:
    """Goes over the steps once; whatever is still to be done to a value is in `lines`."""

    def __init__(self, program: Program) -> None:
        self.source = program
        self.dims = shapes(program, -1)
        self.constants = dict(program.constants)
        self.lines: dict[str, Line] = {}
        self.drawn: dict[str, str] = {}
        self.steps: dict[str, Step] = {}

    def program(self) -> Program:
        for step in self.source.steps:
            self.layer = step.layer
            self._fold(step)
        output = self._draw(self.source.output)
        return used(replace(self.source, steps=tuple(self.steps.values()), constants=self.constants, output=output))

    def _fold(self, step: Step) -> None:
        varying = [name for name in step.inputs if name not in self.constants]
        if step.op == "quantize":
            self._quantize(step)
        elif step.op in INTEGERS:
            self._emit(INTEGERS[step.op], step.inputs, step.output, step.settings)
            self.lines[step.output] = _times(Line(core=step.output), self._full(_factor(step), step.output))
        elif step.op == "level":
            line = _times(Line(core=step.inputs[0]), self._full(1.0, step.output))  # a scale, so that it is drawn
            self.lines[step.output] = self._plus(line, step.settings["offset"], step.output)
        elif step.op in LINEAR and len(varying) == 1 and self._same_size(step, varying[0]):
            self.lines[step.output] = self._linear(step, varying[0])
        elif step.op in ("add", "sub") and len(varying) == 2:
            self._join(step)
        elif step.op in MOVES and step.op not in ("cat", "pad") and varying:
            self._move(step)
        else:
            self._emit(step.op, tuple(map(self._draw, step.inputs)), step.output, step.settings)

    # ------------------------------------------------------------------------------------------------- what is gathered

    def _line(self, name: str) -> Line:
        return self.lines.get(name, Line(core=name))

    def _same_size(self, step: Step, varying: str) -> bool:
        """Whether a constant only repeats along the value, and does not make it larger."""
        by_something = step.op != "div" or step.inputs[0] == varying
        return by_something and self.dims[step.output] == self.dims[varying]

    def _full(self, constant: Any, name: str) -> Array:
        """With as many axes as the value has."""
        array = np.asarray(constant, np.float64)
        return array.reshape((1,) * (len(self.dims[name]) - array.ndim) + array.shape)

    def _linear(self, step: Step, varying: str) -> Line:
        line = self._line(varying)
        if step.op == "neg":
            return _times(line, self._full(-1.0, varying))
        others = [self.constants[name].array for name in step.inputs if name != varying]
        other = self._full(others[0] if others else np.float32(step.settings["by"]), varying)
        if step.op in ("mul", "div"):
            return _times(line, other if step.op == "mul" else 1 / other)
        if step.op == "sub" and step.inputs[0] != varying:
            line = _times(line, self._full(-1.0, varying))
        return self._plus(line, -other if step.op == "sub" and step.inputs[0] == varying else other, varying)

    def _plus(self, line: Line, added: Any, name: str) -> Line:
        added = self._full(added, name)
        if not added.any():
            return line
        return replace(line, shift=added if line.shift is None else line.shift + added)

    def _move(self, step: Step) -> None:
        line = self._line(step.inputs[0])
        if any(name not in self.constants for name in step.inputs[1:]):  # what is asked for is not known yet
            line = Line(core=self._draw(step.inputs[0]))
        parts = [None if part is None else self._moved(step, part) for part in (line.scale, line.shift)]
        if any(part is None and was is not None for part, was in zip(parts, (line.scale, line.shift), strict=True)):
            line, parts = Line(core=self._draw(step.inputs[0])), [None, None]
        self._emit(step.op, (line.core, *step.inputs[1:]), step.output, step.settings)
        self.lines[step.output] = Line(core=step.output, scale=parts[0], shift=parts[1])

    def _moved(self, step: Step, part: Array) -> Part:
        """The constant as the step moves it; none if it then differs from image to image of a batch."""
        into = self.dims[step.output]
        if part.size == 1:
            return part.reshape((1,) * len(into))
        settings = dict(step.settings)
        if "shape" in settings:
            settings["shape"] = sizes(tuple(settings["shape"]), 1)
        whole = np.broadcast_to(part, sizes(self.dims[step.inputs[0]], 1))
        others = (self.constants[name].array for name in step.inputs[1:])
        moved = narrow(OPERATIONS[step.op](whole, *others, **settings))
        return None if any(size < 0 and moved.shape[axis] > 1 for axis, size in enumerate(into)) else moved

    # -------------------------------------------------------------------------------------------------- what is emitted

    def _emit(self, op: str, inputs: tuple[str, ...], output: str, settings: dict[str, Any]) -> None:
        self.steps[output] = _step(op, inputs, output, settings, self.layer)

    def _held(self, parts: list[Part], output: str) -> tuple[list[str], list[bool]]:
        """Names of the constants that are there, and which are."""
        names = []
        for number, part in enumerate(parts):
            if part is not None:
                names.append(f"{output}.line{number}")
                self.constants[names[-1]] = Constant(array=part.astype(np.float32))
        return names, [part is not None for part in parts]

    def _draw(self, name: str) -> str:
        """The name of what the value is, computed once."""
        line = self._line(name)
        if line.scale is None and line.shift is None:
            return line.core
        if name not in self.drawn:
            output = f"{name}.drawn"
            names, has = self._held([line.scale, line.shift], output)
            self._emit("affine", (line.core, *names), output, {"has": has})
            self.drawn[name], self.dims[output] = output, self.dims[name]
        return self.drawn[name]

    def _quantize(self, step: Step) -> None:
        """Codes of a line as it is: the division by the scale is one more factor."""
        source, *others = step.inputs
        if any(name not in self.constants for name in others) or self.dims[step.output] != self.dims[source]:
            self._emit(step.op, tuple(map(self._draw, step.inputs)), step.output, step.settings)
            return
        line = self._line(source)
        if others:
            line = _times(line, 1 / self._full(self.constants[others[0]].array, source))
        line = self._plus(line, -step.settings["offset"], source)
        names, has = self._held([line.scale, line.shift], step.output)
        ends = {name: step.settings[name] for name in ("low", "high")}
        self._emit("snap", (line.core, *names, *others[1:]), step.output, {"has": has, **ends})

    def _join(self, step: Step) -> None:
        a, b = map(self._line, step.inputs)
        if step.op == "sub":
            b = _times(b, self._full(-1.0, step.inputs[1]))
        shift = a.shift if b.shift is None else b.shift if a.shift is None else a.shift + b.shift
        names, has = self._held([a.scale, b.scale, shift], step.output)
        left = iter(names)
        inputs = [a.core, *([next(left)] if has[0] else []), b.core, *left]
        self._emit("join", tuple(inputs), step.output, {"has": has})


def _times(line: Line, factor: Array) -> Line:
    scale, shift = line.scale, line.shift
    return replace(
        line, scale=factor if scale is None else scale * factor, shift=None if shift is None else shift * factor
    )
