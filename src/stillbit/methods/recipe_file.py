"""A recipe as JSON, and back; and which of its choices must stay the same when a run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from stillbit.methods.recipe import Recipe

S = TypeVar("S")

PASSING = {
    *(f"output.{name}" for name in ("output", "experiment", "resume", "log_interval", "checkpoint_steps")),
    *("output.checkpoint_keep", "machine.device", "machine.torchcompile", "machine.fsdp", "data.workers"),
    # Where the data lies may change, and so may how a step's images are dealt out: their number may not.
    *(
        "data.data_dir",
        "data.corrupt",
        "data.batch_size",
        "machine.grad_accum_steps",
        "model.initial_checkpoint",
        "model.pretrained",
    ),
}
"""Choices of where and how fast: a run may go on with others."""


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain data, for JSON."""
    return dict(json.loads(json.dumps(asdict(recipe), default=str)))


def from_dict(data: dict[str, Any]) -> Recipe:
    """The inverse of `to_dict`."""
    return _settings(Recipe, data, "")


def read(path: Path) -> Recipe:
    """The recipe of a file, or of a run."""
    source = path / "recipe.json" if path.is_dir() else path
    try:
        data = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"there is no recipe {source} ({error.strerror}): give a run's recipe.json") from None
    except ValueError as error:
        raise ValueError(f"{source} is no recipe ({error}): give the recipe.json of a run") from None
    if not isinstance(data, dict):
        raise ValueError(f"{source} is no recipe: give the recipe.json of a run")
    try:
        return from_dict(data)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What two recipes do not agree on, of what decides the numbers of a run."""
    here, there = dict(_flat(now)), dict(_flat(was))
    return [
        f"--{name.rpartition('.')[2].replace('_', '-')} {there.get(name)} there and {here.get(name)} here"
        for name in dict.fromkeys([*there, *here])
        if name not in PASSING and there.get(name) != here.get(name)
    ]


def _flat(data: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in data.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _settings(kind: type[S], data: dict[str, Any], at: str) -> S:
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for name in data:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise ValueError(f"a recipe has no {at}{name}" + (f": did you mean {at}{near[0]}?" if near else ""))
    try:
        return kind(**{name: _value(hints[name], value, f"{at}{name}") for name, value in data.items()})
    except TypeError as error:
        raise ValueError(f"the recipe lacks something ({error})") from None


def _value(kind: Any, value: Any, at: str) -> Any:
    """``value`` as the annotation ``kind`` has it, or one sentence."""
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        return _settings(kind, value, f"{at}.")
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if get_origin(kind) is tuple and isinstance(value, list | tuple) and len(value) == len(get_args(kind)):
        return tuple(_value(k, v, at) for k, v in zip(get_args(kind), value, strict=True))
    written_as = {Path: str, float: int}.get(kind, kind)  # in JSON a path is a string, and 1.0 may be 1
    if isinstance(kind, type) and type(value) in (kind, written_as):
        return kind(value)
    raise ValueError(f"{at} cannot be {value!r}")
