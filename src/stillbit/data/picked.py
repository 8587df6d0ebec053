"""Some images of a source, as a source of their own: what an analysis looks at, when it does not look at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from stillbit.data.source import Picture, Source


@final
class Picked:
    """The images of ``source`` with these numbers, in this order."""

    def __init__(self, source: Source, indices: Sequence[int]) -> None:
        """Classes are those of the source, also where none of their images was picked."""
        self.source, self.indices = source, tuple(indices)
        self.classes = source.classes

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int, epoch: int) -> Picture:
        """The image, as the source has it."""
        return self.source.image(self.indices[index], epoch)

    def label(self, index: int) -> int:
        """The number of its class."""
        return self.source.label(self.indices[index])

    def name(self, index: int) -> str:
        """What the source calls it."""
        return self.source.name(self.indices[index])

    def describe(self) -> dict[str, Any]:
        """The source's words, and how many were picked."""
        return {**self.source.describe(), "picked": len(self)}


def evenly(source: Source, count: int) -> tuple[int, ...]:
    """The numbers of ``count`` images of all classes, as `fairly` picks them."""
    return fairly([source.label(index) for index in range(len(source))], count)


def fairly(labels: Sequence[float], count: int) -> tuple[int, ...]:
    """Where ``count`` labels are, every class the same number of times, or once more; all there are if fewer.

    The first sample of every class comes first, then the second one of every class; where the last turn is not for all
    classes, those that have it lie evenly among the others. So every run of samples is a fair one.
    """
    held: dict[float, list[int]] = {}
    for index, label in enumerate(labels):
        held.setdefault(label, []).append(index)
    classes = [held[label] for label in sorted(held)]
    chosen: list[int] = []
    turn = 0
    while len(chosen) < min(count, len(labels)):
        there = [indices[turn] for indices in classes if turn < len(indices)]
        wanted = min(len(there), count - len(chosen))
        chosen += [there[i * len(there) // wanted] for i in range(wanted)]
        turn += 1
    return tuple(chosen)
