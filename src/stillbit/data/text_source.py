"""Texts with their labels: what every kind of text data set becomes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Literal, NamedTuple, final

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray

from stillbit.data.text_tasks import TextTask, UnknownLabel


class Row(NamedTuple):
    """A line of a file: its number, its texts, and its label as it is written there."""

    number: int
    texts: tuple[str, ...]
    label: object


class Fault(NamedTuple):
    """A line that cannot be used, and why."""

    number: int
    reason: str


@final
@dataclass(frozen=True, eq=False)
class Texts:
    """The examples of a split."""

    task: TextTask
    first: Sequence[str]
    second: Sequence[str] | None
    """The other texts, where the task is about two."""
    targets: Int[ndarray, n] | Float[ndarray, n]
    numbers: Int[ndarray, n]
    """Where each stands in what it was read from ..."""
    origin: str
    """... and what that was."""
    unit: Literal["line", "row", "example"] = "line"
    damaged: tuple[tuple[str, str], ...] = ()
    """Name and reason of everything that was left out."""

    def __len__(self) -> int:
        return len(self.first)

    def some(self, indices: Sequence[int]) -> Texts:
        """The examples with these numbers, in this order."""
        picked = np.array(indices, np.int64)
        first, second = (
            None if side is None else tuple(side[index] for index in indices) for side in (self.first, self.second)
        )
        assert first is not None, "an example has a text"
        return replace(self, first=first, second=second, targets=self.targets[picked], numbers=self.numbers[picked])

    def name(self, index: int) -> str:
        """What to call an example in a message."""
        return f"{self.origin}, {self.unit} {self.numbers[index]}"

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run: the kind, how many, and a fingerprint of all that is in it."""
        print_ = sha256(self.targets.tobytes())
        for texts in (self.first, self.second or ()):
            print_.update("\n".join(texts).encode() + b"\0")
        about = {"kind": "text", "task": self.task.name, "origin": self.origin, "count": len(self)}
        return {**about, "damaged": len(self.damaged), "fingerprint": print_.hexdigest()}


def gather(
    task: TextTask,
    rows: Iterable[Row | Fault],
    *,
    origin: str,
    unit: Literal["line", "row", "example"] = "line",
    corrupt: Literal["fatal", "skip"] = "fatal",
) -> Texts:
    """The examples of ``rows``; what cannot be used ends it with its place and its reason, or is left out."""
    kept: list[tuple[int, tuple[str, ...], float | int]] = []
    damaged: list[tuple[str, str]] = []
    for row in rows:
        found = row if isinstance(row, Fault) else _checked(task, row)
        if not isinstance(found, Fault):
            kept.append((row.number, found[0], found[1]))
            continue
        name = f"{origin}, {unit} {found.number}"
        if corrupt == "fatal":
            raise ValueError(f"{name}: {found.reason}; repair it, or leave such {unit}s out: --corrupt skip")
        damaged.append((name, found.reason))
    if not kept:
        raise ValueError(_nothing(origin, unit, damaged))
    numbers, texts, targets = zip(*kept, strict=True)
    sides = tuple(zip(*texts, strict=True))
    kind = np.float32 if task.labels is None else np.int64
    second = sides[1] if task.paired else None
    return Texts(task, sides[0], second, np.array(targets, kind), np.array(numbers), origin, unit, tuple(damaged))


def _checked(task: TextTask, row: Row) -> tuple[tuple[str, ...], float | int] | Fault:
    for column, text in zip(task.layouts[0].columns, row.texts, strict=True):
        if not text.strip():
            return Fault(row.number, f"the {column} is empty")
    try:
        return row.texts, task.target(row.label)
    except UnknownLabel as error:
        return Fault(row.number, str(error))


def _nothing(origin: str, unit: str, damaged: list[tuple[str, str]]) -> str:
    if not damaged:
        return f"{origin} has no {unit} at all: give a file with examples"
    return f"no {unit} of {origin} can be used: {damaged[0][0].rpartition(', ')[2]}, the first, because {damaged[0][1]}"
