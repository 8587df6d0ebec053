"""A source is a numbered list of images with labels; every kind of data set is one."""

from __future__ import annotations

from typing import Any, Protocol

from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

Picture = UInt8[Tensor, "c h w"] | Image.Image


class DamagedImage(Exception):
    """An image that cannot be used, and why."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason


class Source(Protocol):
    """Images by number. The image of a number is always the same, except where a source draws anew each epoch."""

    classes: tuple[str, ...]

    def __len__(self) -> int:
        """How many images."""

    def image(self, index: int, epoch: int) -> Picture:
        """The image; raises `DamagedImage` if there is none in what should be one."""

    def label(self, index: int) -> int:
        """The number of its class."""

    def name(self, index: int) -> str:
        """What to call it in a message."""

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run: the kind, how many, and a fingerprint."""


def check_same_classes(train: Source, val: Source) -> None:
    """Labels are numbers of sorted classes, so two lists of classes give two meanings to one number."""
    if train.classes == val.classes:
        return
    missing = sorted(set(train.classes) - set(val.classes))
    extra = sorted(set(val.classes) - set(train.classes))
    said = [f"lacks {_few(missing)}"] * bool(missing) + [f"adds {_few(extra)}"] * bool(extra)
    raise ValueError(
        f"training has {len(train.classes)} classes and validation {len(val.classes)}: validation "
        f"{' and '.join(said) or 'has them in another order'}; give both the same classes"
    )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
