"""Whether a program is one: a runtime may trust what passes here, wherever it came from.

Names are said before they are used, settings are of their kind, shapes fit, codes meet codes only where an operation
knows them, sums of codes fit into 32 bits, and nobody is asked for more memory or time than a program of this size
may need.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

from stillbit.deploy.file import check_values as values
from stillbit.deploy.file.check_settings import CODES, OFFSETS, check_settings
from stillbit.deploy.file.check_shapes import elements, shape_of, spelled, summed
from stillbit.deploy.program import MOVES, MULTIPLIES, Constant, Dims, Program, Step, sizes

LIVE = (1 << 27, 64)
"""Numbers that are held at a time for one image: up to the first, or this many times the constants and the input.

DeiT-T holds 6.1 million, nearly all of them constants.
"""
WORK = (1 << 32, 1 << 13)
"""Multiplications for one image: the same. DeiT-T has 1.9 billion, 320 for each of its constants."""
TAKES = {**dict.fromkeys(("level", *MULTIPLIES), "codes"), "number": "indices"}
"""What operations take that do not take floats."""
OTHERS = 16
"""Multiplications that a number counts for which comes out of any other operation."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """What is known of a value before anything runs."""

    dims: Dims
    kind: str
    """``floats``, ``codes``, ``indices`` or ``choices`` (yes or no)."""
    ends: tuple[int, int] = (0, 0)
    """The smallest and the largest code."""
    offset: float | None = None
    """Of constant codes: what lies between them and their levels."""


def check(program: Program) -> None:
    """Form and values; the first fault is a ValueError."""
    check_values(program, check_form(program))


def check_form(program: Program) -> dict[str, Dims]:
    """All but what the constants hold; of these, only shape, type and grid are looked at. What `shapes` gives."""
    known = _values(program)
    if program.output not in {step.output for step in program.steps}:
        raise ValueError(f"no step puts out {program.output}, its output")
    output = known[program.output]
    if output.kind != "floats" or output.dims[:1] != (-1,):
        raise ValueError(f"its output is {output.kind} of {spelled(output.dims)}, not numbers for every image")
    _check_costs(program, known)
    return {name: value.dims for name, value in known.items()}


def check_values(program: Program, known: dict[str, Dims]) -> None:
    """What the constants of a program hold, whose form was checked."""
    spans = values.spans_of(program)
    for number, step in enumerate(program.steps):
        with _at(number, step):
            values.check_step(step, spans, known)


def shapes(program: Program, batch: int = 1) -> dict[str, Dims]:
    """The shape of every value, for a batch of this many; ``batch=-1``: a size -k is k times any batch."""
    known = _values(program)
    return {name: value.dims if batch == -1 else sizes(value.dims, batch) for name, value in known.items()}


def _values(program: Program) -> dict[str, Value]:
    if not program.inputs:
        raise ValueError("it has no input")
    known = {name: _constant(name, held) for name, held in program.constants.items()}
    for each in program.inputs:
        if each.dims[:1] != (-1,) or any(size < 1 for size in each.dims[1:]):
            raise ValueError(f"its input of {spelled(each.dims)} is no batch")
        if each.name in known:
            raise ValueError(f"its input has the name of another, or of constant {each.name}")
        known[each.name] = Value(dims=each.dims, kind=each.kind)
    for number, step in enumerate(program.steps):
        with _at(number, step):
            if step.output in known:
                raise ValueError(f"{step.output}, its output, is there already")
            for name in step.inputs:
                if name not in known:
                    raise ValueError(f"nobody puts out {name}, which it takes in")
            check_settings(step)
            taken = [known[name] for name in step.inputs]
            dims = shape_of(step, [value.dims for value in taken])
            known[step.output] = _put_out(step, taken, dims)
    return known


@contextmanager
def _at(number: int, step: Step) -> Iterator[None]:
    """Says in which step, and of which layer."""
    try:
        yield
    except ValueError as problem:
        where = f"{step.op:.40} of {step.layer:.80}" if step.layer else f"{step.op:.40}"
        raise ValueError(f"step {number} ({where}): {problem}") from None


def _constant(name: str, held: Constant) -> Value:
    dims, kind, grid = tuple(held.array.shape), held.array.dtype.kind, held.grid
    if kind not in "iuf" or (kind == "f" and (grid is not None or held.array.dtype.itemsize != 4)):
        raise ValueError(f"constant {name} is of {held.array.dtype}, not of codes, indices or float32")
    if grid is None:
        return Value(dims=dims, kind="floats" if kind == "f" else "indices")
    if not -CODES <= grid.low <= grid.high < CODES or grid.bits > 8 or grid.offset not in OFFSETS:
        raise ValueError(f"constant {name} lies on no grid of up to eight bits: {grid}")
    return Value(dims=dims, kind="codes", ends=(grid.low, grid.high), offset=grid.offset)


def _put_out(step: Step, taken: list[Value], dims: Dims) -> Value:
    if step.op in MOVES:
        return _moved(step, taken, dims)
    wanted = [TAKES.get(step.op, "floats")] * len(taken)
    if step.op == "where":
        wanted[0] = "indices" if taken[0].kind == "indices" else "choices"
    for value, kind in zip(taken, wanted, strict=True):
        if value.kind != kind:
            raise ValueError(f"it takes {kind}, not {value.kind}")
    if step.op in MULTIPLIES:
        _check_sums(step, taken)
    if step.op == "quantize":
        return Value(dims=dims, kind="codes", ends=(step.settings["low"], step.settings["high"]))
    return Value(dims=dims, kind={"compare": "choices", "index": "indices"}.get(step.op, "floats"))


def _moved(step: Step, taken: list[Value], dims: Dims) -> Value:
    if step.op == "gather" and taken.pop().kind != "indices":
        raise ValueError("its second input is no indices")
    kinds = {value.kind for value in taken}
    if len(kinds) > 1:
        raise ValueError(f"it takes values of one kind, not {' and '.join(sorted(kinds))}")
    ends = (min(value.ends[0] for value in taken), max(value.ends[1] for value in taken))
    padded = step.settings.get("value", ends[0])
    if kinds == {"codes"} and not (float(padded).is_integer() and ends[0] <= padded <= ends[1]):
        raise ValueError(f"it pads codes from {ends[0]} to {ends[1]} with {padded}")
    offsets = {value.offset for value in taken}
    return Value(dims=dims, kind=kinds.pop(), ends=ends, offset=offsets.pop() if len(offsets) == 1 else None)


def _check_sums(step: Step, taken: list[Value]) -> None:
    """Whether the sums fit into 32 bits, where a grid without a zero is doubled: 2 code + 1."""
    largest = []
    for value, offset in zip(taken, step.settings["offsets"], strict=True):
        if value.offset not in (None, offset):
            raise ValueError(f"its offset is {offset}, and that of its codes {value.offset}")
        largest.append(max(abs(2 * end + 1 if offset else end) for end in value.ends))
    terms = summed(step, [value.dims for value in taken])
    if terms * largest[0] * largest[1] >= 2**31:
        raise ValueError(f"its sums of {terms:,} products up to {largest[0]} x {largest[1]} do not fit into 32 bits")


def _check_costs(program: Program, known: dict[str, Value]) -> None:
    """Memory and work for one image, against what a program of this size may need."""
    size = {name: elements(value.dims) for name, value in known.items()}
    own = sum(size[name] for name in (*program.constants, *(each.name for each in program.inputs)))
    last = {name: number for number, step in enumerate(program.steps) for name in step.inputs}
    live, work = own, 0
    for number, step in enumerate(program.steps):
        live += size[step.output]
        dims = [known[name].dims for name in step.inputs]
        aside = 0
        if step.op in ("product", "matmul", "convolution", "conv"):
            terms = summed(step, dims)
            work += terms * size[step.output]
            aside = terms * prod(map(abs, known[step.output].dims[2:])) if "conv" in step.op else 0
        work += OTHERS * size[step.output]
        with _at(number, step):
            for needed, limit, what in ((live + aside, LIVE, "numbers in memory"), (work, WORK, "multiplications")):
                if needed > max(limit[0], limit[1] * own):
                    raise ValueError(f"an image needs {needed:,} {what}, too many for {own:,} constants")
        for name in {*step.inputs, step.output}:
            if last.get(name, number) == number and name not in program.constants:
                live -= size[name]
