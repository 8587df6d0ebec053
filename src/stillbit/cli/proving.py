"""What a command is asked that proves a deployed file: on what, how strictly, and how it says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stillbit.cli.unused import refuse_unused


@dataclass(frozen=True, kw_only=True)
class Proving:
    """The options that ``stillbit export`` and ``stillbit verify`` share."""

    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run."""
    data_dir: Path | None = None
    """The folder with the labelled images or texts that prove it; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split they are of; validation if not given."""
    noise: bool = False
    """Prove it on pictures of noise, or on texts of chance words, where there are no others."""
    samples: int = 32
    """Images, or texts, on which every code is compared."""
    images: int = 1000
    """Images, or texts, on which first classes are compared, with codes unseen, and labels; 0 leaves that out."""
    tolerance: float = 1e-4
    """How far logits may be from each other on the same codes, relative to the largest."""
    agreement: float = 0.99
    """The share that must keep its first class, or its number to a hundredth, where ties change logits behind them."""
    layers: bool = False
    """Print what every layer computes on."""
    json: bool = False
    """Print the proof as JSON instead of tables."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing."""
        if self.samples < 1:
            raise ValueError(f"a proof looks at one image or text at least, got {self.samples}: --samples 32")
        if self.images < 0:
            raise ValueError(f"there are no {self.images} images: --images 1000, or 0 to leave that out")
        if not 0 < self.tolerance < 1:
            raise ValueError(f"a tolerance is above 0 and below 1, got {self.tolerance}: --tolerance 1e-4")
        if not 0 <= self.agreement <= 1:
            raise ValueError(f"an agreement is a share, 0 to 1, got {self.agreement}: --agreement 0.99")
        if self.noise:
            refuse_unused(self, "noise is drawn, and comes from no data", "data_dir", "dataset", "val_split")
