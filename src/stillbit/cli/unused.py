"""Options that all commands of a family share, and that one of them has no use for."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any


def refuse_unused(asked: Any, why: str, *names: str) -> None:
    """Options with these names were not said: a choice without effect is a mistake. ``why`` says what they miss."""
    for field in fields(asked):
        assert field.name not in names or field.default is not MISSING, "an option that may be left out has a default"
        if field.name in names and getattr(asked, field.name) != field.default:
            raise ValueError(f"{why}: leave out --{field.name.replace('_', '-')}")
