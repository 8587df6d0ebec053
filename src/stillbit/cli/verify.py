"""``stillbit verify``: whether a deployed file computes what it should, and how good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console

from stillbit.cli.options import parse
from stillbit.cli.proving import Proving


@dataclass(frozen=True, kw_only=True)
class Verify(Proving):
    """Prove a deployed file again: against the run it came from, or its engines against the reference."""

    file: tyro.conf.Positional[Path]
    """A file that stillbit export wrote: .safetensors, .onnx or .xml."""
    against: Path | None = None
    """The run or the file of stillbit.save it came from, or for a graph the packed file beside it."""


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
