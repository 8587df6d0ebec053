"""``stillbit verify``: whether a deployed file computes what it should, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro
from rich.console import Console

from stillbit.cli.export import check_asked
from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Prove a deployed file again: against the run it came from, or its engines against the reference."""

    file: tyro.conf.Positional[Path]
    """A file that stillbit export wrote: .safetensors, .onnx or .xml."""
    against: Path | None = None
    """The run or the file of stillbit.save it came from, or for a graph the packed file beside it."""
    checkpoint: Literal["best", "last"] = "best"
    """Which checkpoint of a run."""
    data_dir: Path | None = None
    """The folder with labelled images; a run knows its own."""
    dataset: str | None = None
    """What is there (folder, digits, hfds/NAME, wds); a run knows its own."""
    val_split: str | None = None
    """The split they are of; validation if not given."""
    noise: bool = False
    """Prove it on pictures of noise, where there are no images."""
    samples: int = 32
    """Images on which every code is compared."""
    images: int = 1000
    """Images on which first classes are compared, and labels; 0 leaves that out."""
    tolerance: float = 1e-4
    """How far logits may be from each other on the same codes, relative to the largest."""
    agreement: float = 0.99
    """The share of images that must keep their first class, where ties change logits behind them."""
    layers: bool = False
    """Print what every layer computes on."""
    json: bool = False
    """Print the proof as JSON instead of tables."""

    def __post_init__(self) -> None:
        """Refuse numbers that prove nothing."""
        check_asked(self)


def run(words: Sequence[str]) -> int:
    """The tables, and what is wrong, if anything is."""
    asked = parse(Verify, words, prog="stillbit verify")
    from stillbit.cli.export_show import shown
    from stillbit.cli.verify_work import verified
    from stillbit.deploy.proof.run import TRAINING

    proof = verified(asked, Console(stderr=True))
    failure = proof.failure()
    trained = any(each.engine == TRAINING for each in proof.comparisons)
    told = "proven" if trained else "proven to compute what it says (--against RUN: what training computed)"
    shown(asked, proof, [] if failure else [f"{told}: {asked.file}"])
    if failure is not None:
        raise ValueError(failure)
    return 0
