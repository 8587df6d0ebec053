"""Whether deployment computes what training simulated: what was compared, and what one has to know first of it."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillbit.data.plain import from_plain
from stillbit.data.whole import whole
from stillbit.deploy.proof.codes import ULPS
from stillbit.deploy.proof.layers import Layer

TOLERANCE = 1e-4
"""Of logits, relative to the largest, where both sides had the same codes."""
AGREEMENT = 0.99
"""The share of images that have to keep their first class, though ties change logits behind them; one always may."""
NEAR = 0.01
"""How far a number may be from that of training, relative to the largest, and count as the same."""
UNSEEN = 0.1
"""The share of images whose logits may be others than in the run that showed codes; one always may be."""
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class LayerCodes:
    """What an implementation and the reference had in one layer."""

    name: str
    what: str
    """Codes, or sums of products of codes."""
    integers: int
    differ: int
    ties: int
    largest: int
    """By how much those differ that are no ties."""
    farthest: float
    """How far from a boundary the farthest that differs lies, in steps of its grid."""

    def worded(self) -> str:
        """What differs, and by how much."""
        others = f", the others by up to {self.largest}" if self.differ > self.ties else ""
        far = f", up to {self.farthest:.2g} of a step from the boundary" if self.farthest else ""
        return (
            f"{self.name or 'the model itself'}: {self.differ:,} of {self.integers:,} {self.what}, "
            f"{self.ties:,} of them ties{others}{far}"
        )


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One implementation."""

    engine: str
    exact: bool
    """Whether not even ties are allowed."""
    layers: tuple[LayerCodes, ...]
    """In the order in which they compute."""
    silent: tuple[str, ...]
    """Layers whose codes it did not show, though the reference has some there."""
    same_codes: float
    """The largest difference of logits, relative to the largest of all, from the reference on the same codes."""
    free: float
    """The same, from the reference on codes of its own: what ties become in the layers behind them."""
    unseen: int
    """On how many images of these its logits are others than those of the run that showed its codes: an engine may fuse
    steps that nobody looks at, and then has ties that nobody sees."""
    images: int
    """On which first classes were compared: more than codes, where that costs little."""
    same: int
    """How many of them have the same first class, or number; as training has it, where it is there."""
    judged: int = 0
    """How many images had a label."""
    right: int = 0
    """How many of these have it as their first class."""

    @property
    def integers(self) -> int:
        """Codes and sums that were compared."""
        return sum(layer.integers for layer in self.layers)

    @property
    def differ(self) -> int:
        """Those that are not those of the reference."""
        return sum(layer.differ for layer in self.layers)

    @property
    def ties(self) -> int:
        """Those of them that lie on a boundary between two codes."""
        return sum(layer.ties for layer in self.layers)

    @property
    def farthest(self) -> float:
        """From a boundary, of all that differ."""
        return max((layer.farthest for layer in self.layers if layer.differ), default=0.0)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Exact in JSON. `failure` is what a person has to know first."""

    subject: str
    images: int
    """On which codes were compared."""
    seen: str
    """Which images they are."""
    tolerance: float
    agreement: float
    comparisons: tuple[Comparison, ...]
    layers: tuple[Layer, ...]
    ulps: int = ULPS
    """How far from a boundary a tie may lie."""
    noun: str = "images"
    """What a batch has many of: images or texts."""
    numbers: bool = False
    """Whether it answers with a number, and has no classes."""

    def failure(self) -> str | None:
        """The first thing that is not as it was trained, in one sentence; None where all is."""
        return next(iter(self.failures().values()), None)

    def failures(self) -> dict[str, str]:
        """The first thing that is wrong with each engine that has something wrong."""
        said = {comparison.engine: self._failure(comparison) for comparison in self.comparisons}
        return {engine: sentence for engine, sentence in said.items() if sentence is not None}

    def _failure(self, held: Comparison) -> str | None:
        for layer in held.layers:
            if layer.differ > (0 if held.exact else layer.ties):
                return f"{held.engine} differs from the reference, first in {layer.worded()}"
        if held.silent:
            return f"{held.engine} does not show its codes in {held.silent[0]}, so nothing is known of them"
        if not held.same_codes <= self.tolerance:  # so is what is no number
            return (
                f"the logits of {held.engine} are off by {held.same_codes:.2g} of the largest on the same codes, and "
                f"{self.tolerance:.2g} is allowed: what differs lies behind the last code"
            )
        if held.unseen > max(1.0, UNSEEN * self.images):
            return (
                f"{held.engine} has other logits on {held.unseen} of {self.images} {self.noun} than in the run that "
                "showed its codes, so what it runs is not what was compared"
            )
        strays = held.images - held.same
        what = "number" if self.numbers else "first class"
        if strays > max(1.0, (1 - self.agreement) * held.images):
            return (
                f"{held.engine} has another {what} on {strays:,} of {held.images:,} {self.noun} because of ties "
                f"alone, as this model would on another machine: --agreement {held.same / held.images:.2f} accepts that"
            )
        return None

    def __str__(self) -> str:
        """Tables, for a person."""
        from stillbit.deploy.proof.words import text_of  # it knows the proof, so the proof finds it late

        return text_of(self)

    def to_json(self) -> str:
        """Numbers come back as they were, to the bit."""
        return json.dumps({"version": VERSION, "proof": asdict(self)}, indent=1, allow_nan=False) + "\n"

    def write(self, path: Path) -> None:
        """The file whole, or not there."""
        said = self.to_json()
        with whole(path) as temporary:
            temporary.write_text(said, encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Proof:
        """What `write` wrote."""
        data: Any = None
        with suppress(ValueError, RecursionError):
            data = json.loads(path.read_bytes().decode("utf-8", errors="replace"))
        if not isinstance(data, dict) or data.get("version") != VERSION or not isinstance(data.get("proof"), dict):
            raise ValueError(f"{path} is no proof that this stillbit reads: export again")
        return from_plain(cls, data["proof"], f"proof in {path}")
