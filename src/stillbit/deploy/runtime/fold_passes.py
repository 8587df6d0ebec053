"""Two passes over a folded program (`stillbit.deploy.runtime.fold`): codes before moves, and lines into layer norms."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace

import numpy as np

from stillbit.deploy.program import Array, Constant, Dims, Program, Step, sizes, used
from stillbit.deploy.runtime.reference import OPERATIONS

PERMUTING = ("reshape", "permute", "select", "slice", "roll")
"""Moves after which every number is there once, or is not there."""


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A snap, and the moves between it and what was computed, the last one first."""

    snap: Step
    moves: tuple[Step, ...]


def narrow(array: Array) -> Array:
    """With size one on every axis along which it repeats."""
    for axis, size in enumerate(array.shape):
        first = array.take([0], axis)
        if size > 1 and (array == first).all():
            array = first
    return array


def hoisted(program: Program, dims: dict[str, Dims]) -> Program:
    """Snap first and move codes, which are lighter: queries, keys and values, or the slices of heads, in one pass.

    Only where several snaps on one grid, or one, take every number of a value once; ``dims`` is its shape.
    """
    before: dict[str, list[Step]] = defaultdict(list)
    inside: dict[str, list[Step]] = {}
    constants = dict(program.constants)
    for root, chains in _chains(program).items():
        parts = _joint(root, chains, program, dims[root])
        if parts is None:
            continue
        codes, first = f"{root}.codes", chains[0].snap
        names = [f"{codes}.{kind}" for kind in ("scale", "shift")]
        constants.update({name: Constant(array=part) for name, part in zip(names, parts, strict=True)})
        settings = {**first.settings, "has": [True, True]}
        before[root].append(replace(first, inputs=(root, *names), output=codes, settings=settings))
        moved = {root: codes}
        for chain in chains:
            inside[chain.snap.output] = _replayed(chain, moved)
    given = [each.name for each in program.inputs]
    steps = [step for name in given for step in before[name]]
    for step in program.steps:
        steps += inside.get(step.output, [step])
        steps += before[step.output]
    return used(replace(program, steps=tuple(steps), constants=constants))


def _chains(program: Program) -> dict[str, list[Chain]]:
    """By the value that is moved and snapped; those with no moves in between are as they should be."""
    made = {step.output: step for step in program.steps}
    chains: dict[str, list[Chain]] = defaultdict(list)
    for step in program.steps:
        if step.op != "snap" or len(step.inputs) > 1 + sum(step.settings["has"]):  # bounds would have to move too
            continue
        source, moves = step.inputs[0], list[Step]()
        while source in made and made[source].op in PERMUTING:
            moves.append(made[source])
            source = made[source].inputs[0]
        chains[source].append(Chain(snap=step, moves=tuple(moves)))
    return {root: found for root, found in chains.items() if any(chain.moves for chain in found)}


def _joint(root: str, chains: list[Chain], program: Program, dims: Dims) -> tuple[Array, Array] | None:
    """Scale and shift of one snap for all; none if they are on several grids, miss numbers, or take some twice."""
    if root in program.constants or len({(c.snap.settings["low"], c.snap.settings["high"]) for c in chains}) > 1:
        return None
    whole = sizes(dims, 1)
    places = np.arange(int(np.prod(whole)))
    taken = [_moved(places.reshape(whole), chain.moves) for chain in chains]
    if not np.array_equal(np.sort(np.concatenate([each.reshape(-1) for each in taken])), places):
        return None
    scale, shift = np.ones(len(places), np.float32), np.zeros(len(places), np.float32)
    for chain, at in zip(chains, taken, strict=True):
        names = iter(chain.snap.inputs[1:])
        for into, there in zip((scale, shift), chain.snap.settings["has"], strict=True):
            if there:
                into[at] = program.constants[next(names)].array
    parts = narrow(scale.reshape(whole)), narrow(shift.reshape(whole))
    if any(size < 0 and part.shape[axis] > 1 for part in parts for axis, size in enumerate(dims)):
        return None  # differs from image to image of a batch
    return parts


def _moved(x: Array, moves: tuple[Step, ...]) -> Array:
    for step in reversed(moves):
        settings = dict(step.settings)
        if "shape" in settings:
            settings["shape"] = sizes(tuple(settings["shape"]), 1)
        x = OPERATIONS[step.op](x, **settings)
    return x


def _replayed(chain: Chain, moved: dict[str, str]) -> list[Step]:
    """The moves, of codes, that nobody did yet (``moved``: what by then has which codes); the last is the snap's."""
    steps = []
    for number, move in enumerate(reversed(chain.moves), start=1):
        source, last = move.inputs[0], number == len(chain.moves)
        if last or move.output not in moved:
            output = chain.snap.output if last else f"{moved[source]}.{move.output}"
            steps.append(replace(move, inputs=(moved[source],), output=output))
            moved.setdefault(move.output, output)
    return steps


def absorbed(program: Program) -> Program:
    """A line that follows a layer norm alone is its weight and bias."""
    readers = Counter(name for step in program.steps for name in step.inputs)
    norms = {step.output: step for step in program.steps if step.op == "layer_norm" and readers[step.output] == 1}
    constants, changed = dict(program.constants), dict[str, Step]()
    for step in program.steps:
        norm = norms.get(step.inputs[0])
        if norm is None or step.op not in ("snap", "affine") or norm.settings["axes"] != 1:
            continue
        named = iter(step.inputs[1:])
        scale, shift = (constants[next(named)].array if there else None for there in step.settings["has"])
        if any(part is not None and any(size > 1 for size in part.shape[:-1]) for part in (scale, shift)):
            continue
        weight, bias = ([*(constants[name].array for name in norm.inputs[1:]), None, None])[:2]
        names = tuple(f"{norm.output}.{kind}" for kind in ("weight", "bias"))
        parts = _composed(weight, bias, scale, shift)
        constants.update({name: Constant(array=part) for name, part in zip(names, parts, strict=True)})
        changed[norm.output] = replace(norm, inputs=(norm.inputs[0], *names))
        settings = {**step.settings, "has": [False, False]}
        changed[step.output] = replace(step, inputs=(norm.output, *named), settings=settings)
    steps = tuple(changed.get(step.output, step) for step in program.steps)
    return used(replace(program, steps=steps, constants=constants))


def _composed(
    weight: Array | None, bias: Array | None, scale: Array | None, shift: Array | None
) -> tuple[Array, Array]:
    """Weight and bias of ``(x * weight + bias) * scale + shift``."""
    one, none = np.ones(1), np.zeros(1)
    weight, bias = (one if weight is None else weight), (none if bias is None else bias)
    scale, shift = (one if scale is None else scale.reshape(-1)), (none if shift is None else shift.reshape(-1))
    wide = np.float64
    return (weight * wide(scale)).astype(np.float32), (bias * wide(scale) + shift).astype(np.float32)
