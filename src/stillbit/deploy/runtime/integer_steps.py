"""From a step of a program to a function of tensors; what does not change is prepared here, once.

A function may write into what it made itself, never into what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from stillbit.deploy.program import MOVES, Constant, Program, Step
from stillbit.deploy.runtime.integer_float import EXACT, QUICK, quantize, settled
from stillbit.deploy.runtime.integer_product import MATRICES, Side, Times, Way, holds, matrices, rows, way
from stillbit.deploy.runtime.integer_windows import windows_way

Run = Callable[..., Tensor]
Ends = tuple[int, int]
Part = Tensor | float
"""Of a line: a factor or a summand."""
SIGNED = (np.int8, np.int16, np.int32, np.int64)
BATCH = ""
"""The name of the size of the batch."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a program's values before it runs."""

    constants: dict[str, Tensor]
    ends: dict[str, Ends]
    """Of every value that is codes: the smallest and the largest."""
    terms: dict[str, int]
    """Of every product: how many terms its sums have."""
    traced: bool = False
    """Whether what runs is recorded first, and compiled."""


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A step as a function, and what it is called with: values by name, and what is known already."""

    run: Run
    inputs: tuple[str | Part, ...]


def tensor_of(held: Constant) -> Tensor:
    """A constant as a tensor of the smallest type that holds it."""
    array = np.ascontiguousarray(held.array)
    if held.grid is not None:
        array = array if array.dtype in SIGNED else array.astype(np.int64)
        return torch.from_numpy(array).to(holds(held.grid.low, held.grid.high))
    kind = torch.float32 if array.dtype.kind == "f" else torch.int64
    return torch.from_numpy(array.copy()).to(kind)


def ends_of(program: Program) -> dict[str, Ends]:
    """The smallest and the largest code of every value that is codes."""
    ends = {name: (c.grid.low, c.grid.high) for name, c in program.constants.items() if c.grid is not None}
    for step in program.steps:
        if step.op in ("quantize", "snap"):
            ends[step.output] = step.settings["low"], step.settings["high"]
        elif step.op in MOVES and step.inputs[0] in ends:
            moved = [ends[name] for name in step.inputs if name in ends]
            ends[step.output] = min(low for low, _ in moved), max(high for _, high in moved)
    return ends


def prepared(step: Step, known: Known, *, exact: bool) -> Prepared:
    """The function of one step."""
    if step.op in MULTIPLYING:
        return _multiplying(step, known)
    inputs: tuple[str | Part, ...] = tuple(known.constants.get(name, name) for name in step.inputs)
    if step.op in LINES:
        return LINES[step.op](step, inputs, numbers=not known.traced)
    if step.op in MOVING:
        grows = any(size < 0 for size in step.settings.get("shape", ())) and step.op == "expand"
        return Prepared(run=MOVING[step.op](**step.settings), inputs=(BATCH, *inputs) if grows else inputs)
    if step.op in CODES:
        return Prepared(run=CODES[step.op](**step.settings), inputs=inputs)
    function, settings = (EXACT if exact else QUICK)[step.op], step.settings
    return Prepared(run=lambda *values: function(*values, **settings), inputs=inputs)


# ---------------------------------------------------------------------------------------------------------------- codes


def _quantize(low: int, high: int, offset: float) -> Run:
    kind = holds(low, high)
    return lambda *inputs: quantize(*inputs, low=low, high=high, offset=offset).to(kind)


def _level(offset: float) -> Run:
    return lambda codes: codes.to(torch.float32).add_(offset)


def _index(size: int) -> Run:
    return lambda x: torch.nan_to_num(x, size - 1).clamp_(0, size - 1).to(torch.int64)


CODES: dict[str, Callable[..., Run]] = {
    "quantize": _quantize,
    "level": _level,
    "number": lambda: lambda x: x.to(torch.float32),
    "index": _index,
}
"""What makes codes and indices, and floats of them."""


def _multiplying(step: Step, known: Known) -> Prepared:
    left, right = (
        Side(low=known.ends[name][0], high=known.ends[name][1], doubled=offset != 0)
        for name, offset in zip(step.inputs, step.settings["offsets"], strict=True)
    )
    weight = known.constants.get(step.inputs[1])
    chosen = MULTIPLYING[step.op](step, known, (left, right), weight)
    if weight is None:
        return Prepared(run=lambda a, b: chosen.multiply(a, chosen.lay(b)), inputs=step.inputs)
    first = known.constants.get(step.inputs[0], step.inputs[0])
    return Prepared(run=chosen.multiply, inputs=(first, chosen.lay(weight)))


def _accumulate(step: Step, known: Known, sides: tuple[Side, Side], weight: Tensor | None) -> Way:
    times: Times = MATRICES if known.traced else matrices
    if weight is not None and weight.ndim == 2:
        times = rows
    return way(*sides, known.terms[step.output], weight=weight is not None, times=times)


def _windows(step: Step, known: Known, sides: tuple[Side, Side], weight: Tensor | None) -> Way:
    assert weight is not None, "kernels of codes are constants"
    how = {name: said for name, said in step.settings.items() if name != "offsets"}
    return windows_way(*sides, tuple(weight.shape), how)


MULTIPLYING = {"accumulate": _accumulate, "windows": _windows}

# ---------------------------------------------------------------------------------------------------------------- lines


def _affine(step: Step, inputs: tuple[str | Part, ...], *, numbers: bool) -> Prepared:
    return Prepared(run=line, inputs=(inputs[0], *_parts(step.settings["has"], inputs[1:], numbers)))


def _snap(step: Step, inputs: tuple[str | Part, ...], *, numbers: bool) -> Prepared:
    low, high, has = step.settings["low"], step.settings["high"], step.settings["has"]
    kind = holds(low, high)

    def run(x: Tensor, scale: Part, shift: Part, *bounds: Tensor) -> Tensor:
        return settled(line(x, scale, shift), *bounds, low=low, high=high).to(kind)

    bounds = inputs[1 + sum(has) :]
    return Prepared(run=run, inputs=(inputs[0], *_parts(has, inputs[1:], numbers), *bounds))


def _join(step: Step, inputs: tuple[str | Part, ...], *, numbers: bool) -> Prepared:
    """``x * scale + y * scale + shift``."""
    first, second, shifted = step.settings["has"]
    at = 1 + first
    (factor,) = _parts([first], inputs[1:], numbers)
    other, shift = _parts([second, shifted], inputs[at + 1 :], numbers)

    def run(x: Tensor, y: Tensor, factor: Part, other: Part, shift: Part) -> Tensor:
        made = line(y, other, shift)
        whole = x if isinstance(factor, float) and factor == 1.0 else line(x, factor, 0.0)
        return made.add_(whole) if made.shape == whole.shape else made + whole

    return Prepared(run=run, inputs=(inputs[0], inputs[at], factor, other, shift))


LINES = {"affine": _affine, "snap": _snap, "join": _join}


def _parts(has: list[bool], inputs: tuple[str | Part, ...], numbers: bool) -> list[Part]:
    """Scale and shift, or only scale; a tensor of one number as the number, where ``numbers`` may be: quicker."""
    left = iter(inputs)
    parts: list[Part] = []
    for there, absent in zip(has, (1.0, 0.0), strict=False):
        part = next(left) if there else absent
        assert not isinstance(part, str), "scales and shifts of lines are constants"
        parts.append(float(part) if numbers and isinstance(part, Tensor) and part.numel() == 1 else part)
    return parts


def line(x: Tensor, scale: Part, shift: Part) -> Tensor:
    """``x * scale + shift``, always a new tensor of float32.

    Numbers and tensors take different ways: a product and a sum in one pass is slow where a number has to be repeated.
    """
    wide = x.to(torch.float32)
    new = wide is not x
    if isinstance(shift, float):
        if not (isinstance(scale, float) and scale == 1.0):
            wide = wide.mul_(scale) if new else wide * scale
            new = True
        if shift:
            return wide.add_(shift) if new else wide + shift
        return wide if new else wide.clone()
    if isinstance(scale, float):
        return torch.add(shift, wide, alpha=scale)
    return torch.addcmul(shift, wide, scale, out=wide) if new else torch.addcmul(shift, wide, scale)


# ------------------------------------------------------------------------------------------------------ moving elements


def _reshape(shape: list[int]) -> Run:
    sizes = [-1 if size < 0 else size for size in shape]
    return lambda x: x.reshape(sizes)


def _expand(shape: list[int]) -> Run:
    if all(size > 0 for size in shape):
        return lambda x: x.expand(shape)
    return lambda batch, x: x.expand([-size * batch if size < 0 else size for size in shape])


def _slice(axis: int, start: int, stop: int | None, step: int) -> Run:
    taken = (*(slice(None),) * axis, slice(start, stop, step))
    return lambda x: x[taken]


def _pad(around: list[list[int]], value: float) -> Run:
    flat = [size for pair in reversed(around) for size in pair]
    return lambda x: F.pad(x, flat, value=value)


def _gather(axis: int) -> Run:
    def run(x: Tensor, index: Tensor) -> Tensor:
        flat = index.reshape(-1) % x.shape[axis]
        return x.index_select(axis, flat).reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])

    return run


MOVING: dict[str, Callable[..., Run]] = {
    "reshape": _reshape,
    "expand": _expand,
    "permute": lambda axes: lambda x: x.permute(axes),
    "select": lambda axis, index: lambda x: x.select(axis, index),
    "slice": _slice,
    "cat": lambda axis: lambda *parts: torch.cat(parts, axis),
    "pad": _pad,
    "gather": _gather,
    "roll": lambda by, axes: lambda x: torch.roll(x, by, axes),
}
