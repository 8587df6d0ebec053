"""What watches and steers the weights of a run, and how much: the choices of this room."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class TrackSettings:
    """Oscillation: how often weights change their code and turn back."""

    track: bool = False
    """Follow the codes of weights of up to 4 bits, and log which share of them oscillates."""
    track_every: int = 1
    """Steps between two looks. A change between two looks is one change, however often it went to and fro."""
    track_momentum: float = 0.01
    """Weight of a look in the running frequency of oscillation. A frequency says nothing without it."""
    track_threshold: float = 0.005
    """A weight counts as oscillating where its frequency is above this."""
    track_samples: int = 4
    """Weights of a layer whose path is kept."""
    track_window: int = 1000
    """Looks that a path goes back."""

    def __post_init__(self) -> None:
        """Refuse looks that never come, and shares that are none."""
        _needs(self, "track", self.track)
        _at_least(self, 1, "track_every", "track_window")
        _at_least(self, 0, "track_samples")
        _share(self, "track_momentum")
        if not 0 <= self.track_threshold < 1:
            raise ValueError(f"--track-threshold is a frequency from 0 to below 1, got {self.track_threshold}")


@dataclass(frozen=True, kw_only=True)
class PenaltySettings:
    """What weights cost beside the loss."""

    bin_reg: float = 0.0
    """Final strength of the bin penalty (VVTQ's OBR; published: 0.01 to 1, 0.1 best); 0 is off."""
    bin_reg_bits: tuple[int, ...] = (2, 3)
    """Widths of the weights that the bin penalty is for."""
    bin_reg_form: Literal["per_weight", "mean", "sum"] = "per_weight"
    """The same pull on every weight, or the released code's mean or sum, with which it depends on a layer's size."""
    dampen: float = 0.0
    """Final strength of dampening; 0 is off."""
    dampen_form: Literal["per_weight", "kernel_mean", "mean", "sum"] = "per_weight"
    """The same pull on every weight; the released code's kernel_mean (published: 0.1); mean; or the paper's sum."""
    kure: float = 0.0
    """Strength of KURE, which wants weights distributed uniformly (published: 1); 0 is off. It does not rise."""
    kure_target: float = 1.8
    """The kurtosis that KURE wants; that of a uniform distribution is 1.8."""
    penalty_start: float = 0.25
    """Share of the training after which strengths begin to rise, along half a cosine to the end."""

    def __post_init__(self) -> None:
        """Refuse prices below zero, and choices about penalties that are off."""
        _at_least(self, 0, "bin_reg", "dampen", "kure")
        _needs(self, "bin_reg", self.bin_reg, also="bin_reg_")
        _needs(self, "dampen", self.dampen, also="dampen_")
        _needs(self, "kure", self.kure, also="kure_")
        _before_end(self, "penalty_start")
        if self.penalty_start != 0.25 and not (self.bin_reg or self.dampen):
            raise ValueError("--penalty-start has no effect without --bin-reg or --dampen: give one of them")
        if not self.bin_reg_bits or not all(1 <= bits <= 8 for bits in self.bin_reg_bits):
            raise ValueError(f"--bin-reg-bits are widths from 1 to 8, got {self.bin_reg_bits}: --bin-reg-bits 2 3")


@dataclass(frozen=True, kw_only=True)
class FreezeSettings:
    """Iterative freezing: a weight that oscillates too often keeps its code for good."""

    freeze: bool = False
    """Freeze oscillating weights of up to 4 bits, with a threshold that falls along half a cosine."""
    freeze_start: float = 0.25
    """Share of the training after which freezing begins."""
    freeze_threshold: float = 0.01
    """Frequency above which a weight freezes at the end (published: 0.011 for 3 bits, 0.01 for 4)."""
    freeze_threshold_start: float = 0.1
    """The same at the beginning."""
    freeze_momentum: float = 0.001
    """Weight of a step in the running frequency and in the running mean of the code."""

    def __post_init__(self) -> None:
        """Refuse thresholds that no frequency passes, or every one."""
        _needs(self, "freeze", self.freeze)
        _before_end(self, "freeze_start")
        _share(self, "freeze_threshold", "freeze_threshold_start", "freeze_momentum")


@dataclass(frozen=True, kw_only=True)
class AnnealSettings:
    """Confidence-guided annealing (OFQ's CGA): at the end, only weights close to a boundary still move."""

    anneal_epochs: int = 0
    """The last so many epochs are the annealing (OFQ: 30); 0 is none."""
    anneal_range: float = 0.005
    """How close to a boundary, in steps of the grid, a weight has to be to move."""

    def __post_init__(self) -> None:
        """Refuse a range in which all weights lie."""
        _at_least(self, 0, "anneal_epochs")
        _needs(self, "anneal_epochs", self.anneal_epochs, also="anneal_")
        if not 0 < self.anneal_range < 0.5:
            raise ValueError(f"--anneal-range is above 0 and below half a step, got {self.anneal_range}")


@dataclass(frozen=True, kw_only=True)
class TransitionSettings:
    """Transition-rate scheduling (TRS): not the learning rate is scheduled, but how many codes change in a step."""

    transition_rate: float = 0.0
    """Share of the weights that change their code in a step at the beginning, over the root of the bits (published:
    0.005); it falls along half a cosine to none. 0 is off: the learning rate is scheduled as always."""
    transition_momentum: float = 0.99
    """Momentum of the running rate."""
    transition_gain: float = 1.0
    """How fast the learning rate follows the rate, in learning rates of the beginning (published: 1)."""

    def __post_init__(self) -> None:
        """Refuse rates that are no share."""
        _needs(self, "transition_rate", self.transition_rate, also="transition_")
        if not 0 <= self.transition_rate < 1:
            raise ValueError(f"--transition-rate is a share from 0 to below 1, got {self.transition_rate}")
        if not 0 <= self.transition_momentum < 1:
            raise ValueError(f"--transition-momentum is from 0 to below 1, got {self.transition_momentum}")
        if not self.transition_gain > 0:
            raise ValueError(f"--transition-gain is above 0, got {self.transition_gain}")


@dataclass(frozen=True, kw_only=True)
class DynamicsSettings:
    """All of the room."""

    track: TrackSettings = field(default_factory=TrackSettings)
    """What is seen of the weights."""
    penalty: PenaltySettings = field(default_factory=PenaltySettings)
    """What weights cost."""
    freeze: FreezeSettings = field(default_factory=FreezeSettings)
    """Which weights stop."""
    anneal: AnnealSettings = field(default_factory=AnnealSettings)
    """How the training ends."""
    transition: TransitionSettings = field(default_factory=TransitionSettings)
    """What sets the learning rate."""


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _needs(settings: Any, switch: str, on: object, also: str | None = None) -> None:
    """Where ``switch`` is off, what depends on it is as it was: a choice without effect is a mistake."""
    for choice in fields(settings):
        depends = choice.name != switch and (also is None or choice.name.startswith(also))
        if depends and not on and getattr(settings, choice.name) != choice.default:
            raise ValueError(f"{_flag(choice.name)} has no effect without {_flag(switch)}: give both, or none")


def _at_least(settings: Any, least: float, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{_flag(name)} is at least {least:g}, got {getattr(settings, name)}")


def _share(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 < getattr(settings, name) <= 1:
            raise ValueError(f"{_flag(name)} is above 0 and at most 1, got {getattr(settings, name)}")


def _before_end(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise ValueError(
                f"{_flag(name)} is a share of the training, from 0 to below 1, got {getattr(settings, name)}"
            )
