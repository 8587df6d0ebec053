"""What a deployed file says of itself: the model, how it wants its pictures, what its classes are called."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """From a picture to the input: resize and cut out the centre, divide by 255, take off the mean, divide."""

    size: tuple[int, int]
    """Height and width of the input."""
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    crop_pct: float = 0.875
    """How much of the shorter side is kept."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Said once at export, kept in every format."""

    model: str = ""
    """What timm calls it, or the class."""
    method: str = ""
    bits: str = ""
    """As recipes say it: w2a2."""
    classes: tuple[str, ...] = ()
    """Names in the order of the logits; empty if nobody knows them."""
    preprocess: Preprocess | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else is worth keeping, as JSON has it: accuracy, epochs, versions, parity."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def of_json(cls, data: Any) -> About:
        """The inverse; what is not such data is a ValueError."""
        try:
            known = {each.name for each in fields(cls)}
            said = {name: value for name, value in data.items() if name in known}
            if said.get("preprocess") is not None:
                look = said["preprocess"]
                lists = {name: tuple(look[name]) for name in ("size", "mean", "std")}
                said["preprocess"] = Preprocess(**{**look, **lists})
            about = cls(**{**said, "classes": tuple(said.get("classes", ()))})
        except (AttributeError, KeyError, TypeError) as problem:
            raise ValueError(f"what the file says of itself is damaged: {problem}") from problem
        wrong = _wrong(about)
        if wrong:
            raise ValueError(f"what the file says of itself is damaged: {', '.join(wrong)}")
        return about


def _wrong(about: About) -> list[str]:
    """What is not of its kind."""
    words = all(isinstance(word, str) for word in (about.model, about.method, about.bits))
    right = {
        "model, method and bits are words": words,
        "classes are words": all(isinstance(word, str) for word in about.classes),
        "facts have names": isinstance(about.facts, dict) and all(isinstance(name, str) for name in about.facts),
    }
    look = about.preprocess
    if look is not None:
        sides = all(type(side) is int and side > 0 for side in look.size)
        right["size is a height and a width"] = len(look.size) == 2 and sides
        right["mean is numbers"] = all(_number(value) for value in look.mean)
        right["std is numbers above zero"] = all(_number(value) and value > 0 for value in look.std)
        right["interpolation is a word"] = isinstance(look.interpolation, str)
        right["crop_pct is a number above zero"] = _number(look.crop_pct) and look.crop_pct > 0
    return [f"it is not so that {said}" for said, holds in right.items() if not holds]


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
