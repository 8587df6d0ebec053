"""What a command line says about data. Imports no numbers package, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

Interpolation = Literal["nearest", "bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the images are, and how they are loaded."""

    data_dir: Path | None = None
    """The folder with the images: an ImageFolder, tars, or what `stillbit data fractals` made."""
    dataset: str = "folder"
    """What is there: folder, fractals, digits, wds (tars), or hfds/NAME (Hugging Face datasets)."""
    train_split: str = "train"
    """The split to train on."""
    val_split: str = "validation"
    """The split to evaluate on; in a folder `val` and `validation` are the same word."""
    batch_size: int = 128
    """Images a step and process."""
    workers: int = 2
    """Processes that load images, beside each training process."""
    corrupt: Literal["fatal", "skip"] = "fatal"
    """A damaged image ends the run, or is left out of its batch, named and counted."""
    fresh: bool = False
    """Fractals only: draw new training images in every epoch."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        _need(self.batch_size >= 1, f"a batch has at least one image, got {self.batch_size}: --batch-size 128")
        _need(self.workers >= 0, f"there are no {self.workers} workers: --workers 0 loads in the training process")


@dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """How images are changed before the model sees them. Names and meanings are timm's."""

    no_aug: bool = False
    """Train on the images as evaluation sees them."""
    scale: tuple[float, float] = (0.08, 1.0)
    """Smallest and largest share of the area that a random crop keeps."""
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Lowest and highest ratio of width to height of a random crop."""
    hflip: float = 0.5
    """Probability of a flip from left to right."""
    vflip: float = 0.0
    """Probability of a flip upside down."""
    color_jitter: float = 0.0
    """Strength of random changes of brightness, contrast and saturation."""
    aa: str | None = None
    """Automatic augmentation in timm's words, such as rand-m9-mstd0.5-inc1."""
    reprob: float = 0.0
    """Probability of erasing a random rectangle with noise."""
    train_interpolation: Interpolation = "bicubic"
    """How training crops are resized."""
    interpolation: Interpolation | None = None
    """How images are resized for evaluation; the model's own choice if left out."""
    crop_pct: float | None = None
    """Share of an image's side that evaluation keeps; the model's own choice if left out."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done, and what would have no effect."""
        low, high = self.scale
        _need(0 < low <= high <= 1, f"crops keep a share between 0 and 1, got {low} {high}: --scale 0.08 1")
        narrow, wide = self.ratio
        _need(0 < narrow <= wide, f"ratios are positive, the lower first, got {narrow} {wide}: --ratio 0.75 1.3333")
        for name in ("hflip", "vflip", "reprob"):
            value = getattr(self, name)
            _need(0 <= value <= 1, f"{name} is a probability, got {value}: --{name} 0.5")
        _need(0 <= self.color_jitter <= 1, f"color_jitter is 0 to 1, got {self.color_jitter}: --color-jitter 0.4")
        _need(self.crop_pct is None or 0 < self.crop_pct <= 1, f"crop_pct is above 0, at most 1, got {self.crop_pct}")
        if self.no_aug:
            evaluation = ("no_aug", "interpolation", "crop_pct")
            idle = [f.name for f in fields(self) if f.name not in evaluation and getattr(self, f.name) != f.default]
            _need(not idle, f"with no_aug there is no use for {', '.join(idle)}: leave out one or the other")


@dataclass(frozen=True, kw_only=True)
class FractalSettings:
    """A data set of fractals. The same settings always give the same images."""

    classes: int = 25
    """How many classes; each is an iterated function system."""
    images: int = 600
    """Training images a class."""
    val_images: int = 100
    """Validation images a class."""
    size: int = 32
    """Height and width in pixels."""
    seed: int = 0
    """Another seed draws other classes."""
    jitter: float = 0.08
    """How far the images of a class differ in shape."""

    def __post_init__(self) -> None:
        """Refuse data sets that nobody could train on."""
        _need(self.classes >= 2, f"a data set has at least two classes, got {self.classes}: --classes 25")
        _need(self.images >= 1, f"a class has at least one training image, got {self.images}: --images 600")
        _need(self.val_images >= 1, f"a class has at least one validation image, got {self.val_images}")
        _need(8 <= self.size <= 1024, f"fractals are 8 to 1024 pixels wide, got {self.size}: --size 32")
        _need(0 <= self.jitter <= 0.5, f"jitter is 0 (all alike) to 0.5, got {self.jitter}: --jitter 0.08")


def _need(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)
