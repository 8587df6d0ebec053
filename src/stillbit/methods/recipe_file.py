"""A recipe as JSON, and back; and which of its choices must stay the same when a run goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stillbit.data.plain import from_plain
from stillbit.methods.recipe import Recipe

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
        "text.tokenizer",
    ),
    # By their hash stored labels and teachers are known, wherever they lie.
    *("distill.labels", "distill.teacher", "taught_by"),
}
"""Choices of where and how fast: a run may go on with others."""


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """Plain data, for JSON."""
    return dict(json.loads(json.dumps(asdict(recipe), default=str)))


def from_dict(data: dict[str, Any]) -> Recipe:
    """The inverse of `to_dict`."""
    return from_plain(Recipe, data, "recipe")


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
    here, there = dict(flat(now)), dict(flat(was))
    return [
        f"--{name.rpartition('.')[2].replace('_', '-')} {there.get(name)} there and {here.get(name)} here"
        for name in dict.fromkeys([*there, *here])
        if name not in PASSING and there.get(name) != here.get(name)
    ]


def flat(data: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting under its full name, such as optim.lr."""
    for name, value in data.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
