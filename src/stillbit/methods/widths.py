"""Widths to go through on the way to few bits: what may be said of them, in words."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple


class Width(NamedTuple):
    """Bits of weights and of activations."""

    weights: int
    activations: int

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return self == FLOAT

    def narrower(self, other: Width) -> bool:
        """Whether it has fewer bits on one side than ``other``, and on neither more."""
        return self != other and self.weights <= other.weights and self.activations <= other.activations


FLOAT = Width(32, 32)


def width_of(said: str) -> Width | None:
    """That of words such as w1a2; None where they are no such words."""
    found = re.fullmatch(r"w(\d+)a(\d+)", said.lower())
    return None if found is None else Width(int(found[1]), int(found[2]))


def the_width(said: str) -> Width:
    """The same, where words were checked before."""
    found = width_of(said)
    assert found is not None, said
    return found


def check_through(bits: str, through: tuple[str, ...], epochs: tuple[int, ...], rates: tuple[float, ...]) -> None:
    """Refuse widths that do not go down to ``bits``, and numbers that belong to none of them."""
    for flag, numbers in (("--through-epochs", epochs), ("--through-lr", rates)):
        if numbers and not through:
            raise ValueError(f"{flag} is for widths to go through first: name them, --through w32a32 w1a2")
        if len(numbers) not in (0, 1, len(through)):
            raise ValueError(
                f"{flag} is one number for all of --through, or {len(through)}, one each: not {len(numbers)}"
            )
    if any(number < 1 for number in epochs):
        raise ValueError(f"--through-epochs are at least 1, got {min(epochs)}")
    if not all(0 <= rate < float("inf") for rate in rates):
        raise ValueError(f"--through-lr are rates from 0, got {min(rates)}")
    way = [*through, bits]
    for above, below in pairwise(way):
        one, other = width_of(above), width_of(below)
        if one is None:
            raise ValueError(f"--through {above}: say how many bits weights and activations have, as in w1a2")
        if other is not None and not other.narrower(one):
            raise ValueError(
                f"--through goes down to --bits {bits}, and {below} has no fewer bits than {above}: leave {above} out"
            )
