"""How a model wants to see its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from stillbit.data.settings import Interpolation

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Look:
    """Size (height, width), channels, and the numbers of the normalisation; how an evaluation image is resized."""

    size: tuple[int, int]
    channels: int = 3
    mean: Numbers = (0.5, 0.5, 0.5)
    std: Numbers = (0.5, 0.5, 0.5)
    interpolation: Interpolation = "bicubic"
    crop_pct: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what no image can be turned into."""
        if self.channels not in (1, 3):
            raise ValueError(f"images have 1 or 3 channels, and the model wants {self.channels}: give it in_chans=3")
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"{self.channels} channels need as many means and deviations: {self.mean}, {self.std}")
        if self.interpolation not in get_args(Interpolation):
            known = ", ".join(get_args(Interpolation))
            raise ValueError(f"unknown interpolation {self.interpolation!r}: use one of {known}")

    @classmethod
    def of(
        cls, config: Mapping[str, Any], *, interpolation: Interpolation | None = None, crop_pct: float | None = None
    ) -> Look:
        """From a model's ``pretrained_cfg`` (or timm's data config), and what the user wants otherwise."""
        channels, height, width = config["input_size"]
        mean, std = (tuple(float(v) for v in config[name]) for name in ("mean", "std"))
        # A model with one channel keeps the mean and deviation of three in its configuration.
        if channels == 1 and len(mean) == 3:
            mean, std = (sum(mean) / 3,), (sum(std) / 3,)
        wanted = interpolation or config["interpolation"]
        return cls((height, width), channels, mean, std, wanted, crop_pct or float(config["crop_pct"]))
