"""The structure of a program as JSON: steps, names, and where the constants lie.

A program that takes in one array of floats is written as it was when there were no others (``input`` and ``shape``), so
that a stillbit of then reads it; any other has ``inputs``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stillbit.deploy.file.stored import FLOATS, INDICES, Place
from stillbit.deploy.program import Dims, Grid, Input, Program, Step

LONGEST = 300
"""Characters of a name."""
MOST = 16
"""Inputs."""
NEW = {"number", "index", "cumsum", "eq", "ne"}
"""Operations and settings that version 1 of the format had not."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """A program whose constants are still places in a file."""

    inputs: tuple[Input, ...]
    output: str
    steps: tuple[Step, ...]
    places: dict[str, Place]
    floats: int
    """How many numbers are in the pool."""
    about: Any
    """What the file says of itself, as JSON."""


def to_json(program: Program, places: Mapping[str, Place], about: dict[str, Any]) -> dict[str, Any]:
    """Plain data."""
    ends = [place.first + place.count for place in places.values() if place.kind == "floats"]
    return {
        "about": about,
        **_taken_in(program),
        "output": program.output,
        "floats": max(ends, default=0),
        "constants": {name: _said(place) for name, place in places.items()},
        "steps": [[s.op, list(s.inputs), s.output, s.settings, s.layer] for s in program.steps],
    }


def version_of(program: Program) -> int:
    """The first version of the format that has all of this program."""
    return 1 if [each.kind for each in program.inputs] == ["floats"] and not NEW.intersection(_words(program)) else 2


def _words(program: Program) -> Iterator[str]:
    for step in program.steps:
        yield step.op
        yield str(step.settings.get("how"))


def _taken_in(program: Program) -> dict[str, Any]:
    if version_of(program) == 1:
        return {"input": program.inputs[0].name, "shape": list(program.shape)}
    return {"inputs": [[each.name, list(each.dims), each.kind] for each in program.inputs]}


def _said(place: Place) -> dict[str, Any]:
    if place.kind == "floats":
        return {"shape": list(place.shape), "first": place.first}
    said = {"shape": list(place.shape), "tensor": place.tensor}
    if place.grid is None:
        return {**said, "type": place.kind}
    return {**said, "low": place.grid.low, "high": place.grid.high, "offset": place.grid.offset}


def of_json(data: Any) -> Structure:
    """The inverse; what is not such data is a ValueError."""
    shared = {"about", "output", "floats", "constants", "steps"}
    if not isinstance(data, dict) or set(data) - shared not in ({"input", "shape"}, {"inputs"}) or shared - set(data):
        raise ValueError("its structure does not have the parts that it should have")
    if not isinstance(data["constants"], dict) or not isinstance(data["steps"], list):
        raise ValueError("its structure has no list of steps or no table of constants")
    return Structure(
        inputs=_inputs(data),
        output=_name(data["output"], "the output"),
        steps=tuple(_step(number, said) for number, said in enumerate(data["steps"])),
        places={_name(name, "a constant"): _place(name, said) for name, said in data["constants"].items()},
        floats=_number(data["floats"], "floats"),
        about=data["about"],
    )


def _inputs(data: dict[str, Any]) -> tuple[Input, ...]:
    said = data["inputs"] if "inputs" in data else [[data["input"], data["shape"], "floats"]]
    if not isinstance(said, list) or not 0 < len(said) <= MOST:
        raise ValueError(f"its inputs are no list of 1 to {MOST}")
    if not all(isinstance(each, list) and len(each) == 3 and each[2] in ("floats", "indices") for each in said):
        raise ValueError("its inputs are not described as they should be")
    return tuple(
        Input(name=_name(name, "the input"), dims=_sizes(dims, "the input", lowest=-1), kind=kind)
        for name, dims, kind in said
    )


def _step(number: int, said: Any) -> Step:
    if not isinstance(said, list) or len(said) != 5:
        raise ValueError(f"step {number} is no step")
    op, inputs, output, settings, layer = said
    if not isinstance(op, str) or not isinstance(inputs, list) or not isinstance(settings, dict):
        raise ValueError(f"step {number} is no step")
    what = f"step {number}"
    taken = tuple(_name(name, what) for name in inputs)
    if not isinstance(layer, str) or len(layer) > LONGEST:
        raise ValueError(f"{what} has no layer")
    return Step(op=op[:LONGEST], inputs=taken, output=_name(output, what), settings=settings, layer=layer)


def _place(name: str, said: Any) -> Place:
    what = f"constant {name}"
    keys = set(said) if isinstance(said, dict) else set()
    if keys == {"shape", "first"}:
        shape = _sizes(said["shape"], what)
        return Place(kind="floats", tensor=FLOATS, shape=shape, first=_number(said["first"], what))
    if keys == {"shape", "tensor", "type"} and str(said["type"]) in INDICES:
        shape = _sizes(said["shape"], what)
        return Place(kind=said["type"], tensor=_name(said["tensor"], what), shape=shape)
    if keys == {"shape", "tensor", "low", "high", "offset"}:
        low, high, offset = said["low"], said["high"], said["offset"]
        if type(low) is not int or type(high) is not int or not -(2**15) <= low <= high < 2**15 or high - low > 255:
            raise ValueError(f"{what} has codes from {low!r:.20} to {high!r:.20}, and they take up to eight bits")
        if offset not in (0.0, 0.5) or isinstance(offset, bool):
            raise ValueError(f"{what} has the offset {offset!r:.20}, and there are 0 and 0.5")
        grid = Grid(low=low, high=high, offset=float(offset))
        shape = _sizes(said["shape"], what)
        return Place(kind="codes", tensor=_name(said["tensor"], what), shape=shape, grid=grid)
    raise ValueError(f"{what} is not described as it should be")


def _name(said: Any, what: str) -> str:
    if not isinstance(said, str) or not 0 < len(said) <= LONGEST:
        raise ValueError(f"{what} has no name of 1 to {LONGEST} characters")
    return said


def _number(said: Any, what: str) -> int:
    if type(said) is not int or said < 0:
        raise ValueError(f"{what} has {said!r:.20} where a count should be")
    return said


def _sizes(said: Any, what: str, lowest: int = 1) -> Dims:
    sizes = said if isinstance(said, list) and len(said) <= 32 else [0]
    if not all(type(size) is int and size and lowest <= size < 2**31 for size in sizes):
        raise ValueError(f"{what} has a shape that is none: {said!r:.60}")
    return tuple(sizes)
