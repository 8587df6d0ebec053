"""How an operation of torch's is written down: what every translation is, and what they share.

A translation gets a way to write a step, the arguments, and the shape of the result; it gives back the value that the
last step puts out, or several.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from torch import Tensor

from stillbit.deploy.program import Dims
from stillbit.deploy.tracing.held import Traced


class Emit(Protocol):
    """Writes a step and gives back what it puts out."""

    def __call__(self, op: str, *inputs: Any, **settings: Any) -> Any:
        """``inputs`` are values of the run, ``settings`` plain data."""


Translation = Callable[[Emit, Any, Any, Dims], Any]


def entering(table: dict[Any, Translation]) -> Callable[..., Callable[[Translation], Translation]]:
    """A decorator that puts a translation into a table, under each of torch's names for it."""

    def of(*targets: Any) -> Callable[[Translation], Translation]:
        def register(translation: Translation) -> Translation:
            table.update(dict.fromkeys(targets, translation))
            return translation

        return register

    return of


def rest(args: Any, *defaults: Any) -> list[Any]:
    """The arguments behind the first, and the defaults of those that were not said."""
    return [*args[1:], *defaults[len(args) - 1 :]]


def changed(x: Traced, change: Callable[[Tensor], Tensor]) -> Traced:
    """A known value, its tensor changed by what moves elements only."""
    if x.known is None:
        raise ValueError("its weights depend on the input: only what is known beforehand can be deployed")
    return replace(x, known=change(x.known))


def pair(size: Any) -> list[int]:
    """A size in both directions, where one may stand for two."""
    return [size, size] if isinstance(size, int) else [*size, *size][:2]
