"""A run of a few seconds that was tracked, with a log long enough to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.cli.command import PLAIN, call, works


def train(folder: Path, name: str, words: str) -> Path:
    """A run of the digits in ``folder``."""
    works(f"train {words} {PLAIN} --batch-size 64 --lr 2e-3 --log-interval 5 --experiment {name} --output", folder)
    return folder / name


def tracked_run(folder: Path) -> Path:
    """Two epochs at three bits, seen by the tracker."""
    return train(folder, "tracked", "lsq --bits w3a4 --epochs 2 --track")


def found(words: str, *more: object) -> dict[str, Any]:
    """The record that a command prints as JSON; where it was written stands beside it."""
    said = call(f"{words} --json", *more)
    assert said.code == 0, said.err
    held: dict[str, Any] = json.loads(said.out)["record"]
    return held
