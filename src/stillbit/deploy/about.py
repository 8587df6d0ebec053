"""What a deployed file says of itself: the model, how it wants its pictures or texts, what its classes are called."""

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
class Reading:
    """From a text to the inputs: cut into pieces, numbered, cut off or filled up to one length."""

    length: int
    """Pieces of every input, padding included."""
    inputs: tuple[str, ...]
    """What the arrays are called, in the order of the engine: input_ids, attention_mask, token_type_ids."""
    pad: int = 0
    """The number of the piece that fills up."""
    task: str = ""
    """Which question it answers, as stillbit calls it: mnli, sst2, or a word of your own."""
    pairs: bool = False
    """Whether it reads two texts at a time."""
    config: str = ""
    """The config of the float model as JSON, by which transformers builds it; empty if nobody knows."""
    tokenizer: str = ""
    """What Hugging Face's tokenizers writes into tokenizer.json; empty if that lies beside the file."""


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
    """Of a model of pictures."""
    text: Reading | None = None
    """Of a model of texts."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else is worth keeping, as JSON has it: accuracy, epochs, versions, parity."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; of a model of pictures as it was before there were others."""
        said = asdict(self)
        return said if self.text is not None else {name: value for name, value in said.items() if name != "text"}

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
            if said.get("text") is not None:
                said["text"] = Reading(**{**said["text"], "inputs": tuple(said["text"]["inputs"])})
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
    right |= _seen(about) | _read(about)
    return [f"it is not so that {said}" for said, holds in right.items() if not holds]


def _seen(about: About) -> dict[str, bool]:
    """What it says of pictures, and whether it holds."""
    look, right = about.preprocess, dict[str, bool]()
    if look is not None:
        sides = all(type(side) is int and side > 0 for side in look.size)
        right["size is a height and a width"] = len(look.size) == 2 and sides
        right["mean is numbers"] = all(_number(value) for value in look.mean)
        right["std is numbers above zero"] = all(_number(value) and value > 0 for value in look.std)
        right["interpolation is a word"] = isinstance(look.interpolation, str)
        right["crop_pct is a number above zero"] = _number(look.crop_pct) and look.crop_pct > 0
    return right


def _read(about: About) -> dict[str, bool]:
    """What it says of texts, and whether it holds."""
    text = about.text
    if text is None:
        return {}
    return {
        "the length of texts is a count": type(text.length) is int and text.length > 0,
        "the piece that fills texts up has a number": type(text.pad) is int and text.pad >= 0,
        "inputs have names": all(isinstance(name, str) for name in text.inputs),
        "task, config and tokenizer are words": all(
            isinstance(word, str) for word in (text.task, text.config, text.tokenizer)
        ),
        "pairs is yes or no": isinstance(text.pairs, bool),
    }


def _number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
