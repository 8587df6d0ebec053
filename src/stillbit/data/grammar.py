"""How sentences are generated: in groups whose words do not give the answer away, each group on one side of a split.

A *group* is a few examples that are made together, every label the same number of times, so that counting words tells
nothing. Its *theme* can be told from each of its sentences, and decides whether it is for training or for validation.
So no sentence is in both, whatever the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple, TypeVar, final

import numpy as np
from jaxtyping import UInt64
from numpy import ndarray

from stillbit.data.chance import hashes

T = TypeVar("T")

_GROUP, _SIDE = 12, 13  # what the random numbers are for: the first part of their key
_WORDS = 128
"""Random numbers that a group may take."""
_BLOCK = 1024
"""Groups drawn at once."""
_HELD_OUT = 4
"""One theme in so many is for validation."""
_STALE = 20
"""Blocks without ten new groups after which a grammar counts as exhausted."""


class Example(NamedTuple):
    """One sentence or two, and the number of the label."""

    sentences: tuple[str, ...]
    label: int


class Group(NamedTuple):
    """Examples that are made together, and what all of their sentences are about."""

    theme: tuple[int, ...]
    examples: tuple[Example, ...]


@final
class Draw:
    """The choices of one group, which is to be for validation or for training."""

    def __init__(self, words: UInt64[ndarray, words], for_validation: bool = False) -> None:
        self._words: Iterator[int] = iter(words.tolist())
        self.for_validation = for_validation

    def wants(self, theme: tuple[int, ...]) -> bool:
        """Whether groups of this theme are on the side that is asked for; to ask early saves making the others."""
        return held_out(theme) == self.for_validation

    def below(self, count: int) -> int:
        """A number below ``count``."""
        return next(self._words) % count

    def one(self, among: Sequence[T]) -> T:
        """One of them."""
        return among[self.below(len(among))]

    def some(self, among: Sequence[T], count: int) -> list[T]:
        """``count`` different ones, in random order."""
        left = list(among)
        return [left.pop(self.below(len(left))) for _ in range(count)]


def grow(
    make: Callable[[Draw], Group | None],
    split: Literal["train", "val"],
    examples: int,
    key: tuple[int, ...],
) -> list[Example]:
    """``examples`` different ones for a split; more of them begin with the same ones.

    ``make`` gives no group where its choices led to none.
    """
    found: list[Example] = []
    seen: set[tuple[str, ...]] = set()
    block = stale = 0
    while len(found) < examples:
        before = len(found)
        for words in hashes(_WORDS, _GROUP, *key, np.arange(block * _BLOCK, (block + 1) * _BLOCK)):
            draw = Draw(words, split == "val")
            group = make(draw)
            if group is None or not draw.wants(group.theme):
                continue
            if not any(example.sentences in seen for example in group.examples):
                seen.update(example.sentences for example in group.examples)
                found += group.examples
        block += 1
        stale = stale + 1 if len(found) - before < 10 else 0
        if stale == _STALE:
            raise ValueError(f"there are not many more than {len(found)} different examples: ask for that many or less")
    return found[:examples]


@lru_cache(4096)
def held_out(theme: tuple[int, ...]) -> bool:
    """Whether the sentences of a theme are for validation."""
    return int(hashes(1, _SIDE, *theme)[0] >> np.uint64(32)) % _HELD_OUT == 0
