"""What a study file says, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Measure = Literal["cost", "oscillation", "variation", "error", "latent"]
"""What may be looked at when a cell has been trained."""
MEASURES: tuple[Measure, ...] = get_args(Measure)
PLAIN = "plain"
"""The switch of a method that is left as it is."""
FLOAT = "float"
"""The bits of a method that has none."""

Words = tuple[str, ...]
"""Words of a command line. One that begins with @ is the folder of the data, the parent or the labels of that name, and
!--flag takes back what was said of the flag before."""


@dataclass(frozen=True, kw_only=True)
class Switch:
    """Words that change a method."""

    words: Words
    methods: tuple[str, ...] | None = None
    """The methods for which it makes sense; None is all."""

    def fits(self, method: str) -> bool:
        """Whether it makes sense for a method."""
        return self.methods is None or method in self.methods


@dataclass(frozen=True, kw_only=True)
class Block:
    """Every combination of these is a cell."""

    models: tuple[str, ...]
    methods: tuple[str, ...]
    bits: tuple[str, ...]
    switches: tuple[str, ...]
    """Names of switches; several at once are joined by a plus."""
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Study:
    """All that a study file says."""

    name: str
    words: Words = ()
    """Of every training."""
    child: Words = ()
    """Of every cell, after these."""
    data: Mapping[str, Words] = field(default_factory=dict)
    """Data sets to draw, in the words of ``stillbit data fractals``."""
    parents: Mapping[str, Words] = field(default_factory=dict)
    """Runs that cells begin with or are taught by: a method and its words."""
    labels: Mapping[str, Words] = field(default_factory=dict)
    """Stores of labels, in the words of ``stillbit labels write``."""
    methods: Mapping[str, Words] = field(default_factory=dict)
    """Methods that the file names itself, or gives words to."""
    switches: Mapping[str, Switch] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    measure: tuple[Measure, ...] = ("cost",)
    baseline: str | None = None
    """The method beside which tables put all others."""
    timeout: float | None = None
    """Minutes after which a cell is stopped, and counts as failed."""
    claims: Mapping[str, str] = field(default_factory=dict)

    @property
    def sources(self) -> dict[str, Words]:
        """Everything that words can refer to, by name."""
        return {**self.data, **self.parents, **self.labels}

    def switched(self, name: str) -> list[Switch]:
        """The switches that a name such as ``no-obr+sgd`` stands for."""
        return [] if name == PLAIN else [self.switches[part] for part in name.split("+")]


def references(words: Words) -> tuple[str, ...]:
    """What the words refer to, each once."""
    return tuple(dict.fromkeys(word[1:] for word in words if word.startswith("@")))


def flags(words: Words) -> set[str]:
    """The options among the words."""
    return {word.partition("=")[0].replace("_", "-") for word in words if word.startswith("--")}


def settled(words: Words) -> Words:
    """The words without those that were taken back, with their values, and without what took them back."""
    kept: list[str] = []
    for word in words:
        if not word.startswith("!--"):
            kept.append(word)
            continue
        flag = word[1:]
        if flag not in flags(tuple(kept)):
            raise ValueError(f"{word} takes back what nobody said: leave it out")
        taking, rest = False, []
        for held in kept:
            taking = flag in flags((held,)) if held.startswith("--") else taking
            rest += [] if taking else [held]
        kept = rest
    return tuple(kept)


def called(method: str, switch: str) -> str:
    """A method with its switch, as tables and claims call it."""
    return method if switch == PLAIN else f"{method}+{switch}"
