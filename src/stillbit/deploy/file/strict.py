"""JSON from a stranger: what is odd in it is a ValueError, before anybody looks at what it says."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

DEEPEST = 64
"""Lists in lists: a program needs four."""
LARGEST = 2**62
"""No size, place or setting comes near it."""


def parsed(text: bytes | str) -> Any:
    """The data; no name said twice, no NaN, no infinity, no number that nothing here could hold, no depth."""
    try:
        data = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_number, parse_float=_finite, parse_int=_small
        )
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"its JSON is damaged ({problem})") from None
    level = [data]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inner.extend(each.values())
            elif isinstance(each, list):
                inner.extend(each)
        if not inner:
            return data
        level = inner
    raise ValueError("its JSON is nested too deeply")


def written(data: Any) -> str:
    """The inverse, as short as it gets; what JSON cannot say is a ValueError."""
    try:
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as problem:
        raise ValueError(f"JSON cannot hold what is to be written ({problem}): use plain, finite data") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) != len(pairs):
        raise ValueError("its JSON says a name twice")
    return data


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"its JSON has {text} where a number should be")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"its JSON has {text[:20]} where a finite number should be")
    return number


def _small(text: str) -> int:
    if len(text) > 20 or abs(number := int(text)) > LARGEST:
        raise ValueError(f"its JSON has {text[:20]}, a number larger than anything here")
    return number
