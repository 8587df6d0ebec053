"""Plain data, as JSON has it, back into frozen dataclasses; every type is checked on the way."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

S = TypeVar("S")


def from_plain(kind: type[S], data: dict[str, Any], what: str, at: str = "") -> S:
    """A ``kind`` from the dict that ``dataclasses.asdict`` made of one; ``what`` is it called in a message."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    for name in data:
        if name not in names:
            near = get_close_matches(name, names, n=1)
            raise ValueError(f"a {what} has no {at}{name}" + (f": did you mean {at}{near[0]}?" if near else ""))
    try:
        return kind(**{name: _value(hints[name], value, what, f"{at}{name}") for name, value in data.items()})
    except TypeError as error:
        raise ValueError(f"the {what} lacks something ({error})") from None


def _value(kind: Any, value: Any, what: str, at: str) -> Any:
    """``value`` as the annotation ``kind`` has it, or one sentence."""
    if get_origin(kind) in (Union, UnionType):
        if value is None and type(None) in get_args(kind):
            return None
        kind = next(k for k in get_args(kind) if k is not type(None))
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        return from_plain(kind, value, what, f"{at}.")
    if get_origin(kind) is Literal and value in get_args(kind):
        return value
    if get_origin(kind) is tuple and isinstance(value, list | tuple):
        return _values(get_args(kind), value, what, at)
    if get_origin(kind) is dict and isinstance(value, dict):
        names, values = get_args(kind)
        return {_value(names, k, what, at): _value(values, v, what, f"{at}.{k}") for k, v in value.items()}
    written_as = {Path: str, float: int}.get(kind, kind)  # in JSON a path is a string, and 1.0 may be 1
    if isinstance(kind, type) and type(value) in (kind, written_as):
        with suppress(OverflowError):  # JSON has whole numbers that no float holds
            return kind(value)
    raise ValueError(f"{at} cannot be {value!r:.80}")


def _values(kinds: tuple[Any, ...], values: Any, what: str, at: str) -> tuple[Any, ...]:
    """A tuple: of one kind and any length, or of these kinds."""
    if kinds[1:] == (...,):
        return tuple(_value(kinds[0], value, what, at) for value in values)
    if len(values) != len(kinds):
        raise ValueError(f"{at} cannot be {values!s:.80}")
    return tuple(_value(k, v, what, at) for k, v in zip(kinds, values, strict=True))
