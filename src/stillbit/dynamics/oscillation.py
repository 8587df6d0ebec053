"""The oscillation tracker: which weights flip, how often they turn back, and where a few of them go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch
from jaxtyping import Int
from torch import Tensor, nn

from stillbit.dynamics.boundary import histogram
from stillbit.dynamics.flips import Flips
from stillbit.dynamics.history import History
from stillbit.dynamics.low_bit import low_bit
from stillbit.dynamics.settings import TrackSettings
from stillbit.dynamics.trajectories import Trajectories
from stillbit.dynamics.watch import Training, Watch
from stillbit.layers.walk import Piece


@dataclass(frozen=True)
class PieceReport:
    """What happened so far in a layer, or in one head of one role of it."""

    layer: str
    role: str
    head: int | None
    weights: int
    oscillating: float
    """Share of the weights whose frequency is above the threshold."""
    frequency: float
    """Mean frequency of oscillation."""
    flips: int
    """Changes of code since the start."""
    moved: float
    """Share of the weights whose code is another one than at the start."""
    upward: float
    """Of the weights that ever changed, the share whose last change went up; one half if none did."""


@dataclass(frozen=True)
class OscillationReport:
    """The pieces, and what their numbers mean nothing without."""

    momentum: float
    threshold: float
    every: int
    looks: int
    pieces: tuple[PieceReport, ...]


@final
class Oscillation(Watch):
    """Looks at the codes of all low-bit weights, every so many steps."""

    name: ClassVar[str] = "oscillation"

    def __init__(self, model: nn.Module, settings: TrackSettings) -> None:
        """Begin at the codes of now."""
        self.weights = low_bit(model, "the oscillation tracker")
        self.settings = settings
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        self.flips = {w.name: Flips(w.codes()) for w in self.weights}
        self.paths = Trajectories(self.weights, self.settings.track_samples, self.settings.track_window)
        self.history = History(len(self.weights))
        self.looks = 0

    def after_step(self, training: Training, losses: dict[str, Tensor]) -> None:
        """A look, if one is due."""
        if training.step % self.settings.track_every == 0:
            self.look(training.step)

    @torch.no_grad()
    def look(self, step: int) -> None:
        """See every code once."""
        for weight in self.weights:
            latent = weight.latent()
            self.flips[weight.name].see(latent.code(), self.settings.track_momentum)
            if self.settings.track_samples:
                self.paths.see(weight.name, latent)
        self.paths.close_look(step)
        self.looks += 1
        if self.history.is_due(self.looks):
            self._remember(step)

    def _remember(self, step: int) -> None:
        shares = [(f.frequency > self.settings.track_threshold).double().mean() for f in self.flips.values()]
        scales = [weight.quantizer.scale_of(weight.parameter).double().mean() for weight in self.weights]
        self.history.add(step, torch.stack(shares), torch.stack(scales))

    def numbers(self) -> dict[str, float]:
        """The share of all weights that oscillate, with what defines it, and the share that left its first code."""
        threshold = self.settings.track_threshold
        flips = self.flips.values()
        sums = torch.stack(
            [torch.stack([(f.frequency > threshold).sum(), (f.codes != f.begin).sum()]) for f in flips]
        ).sum(0)
        oscillating, moved = (sums.double() / sum(f.codes.numel() for f in flips)).tolist()
        return {
            "oscillating": oscillating,
            "oscillation_momentum": self.settings.track_momentum,
            "oscillation_threshold": threshold,
            "moved": moved,
        }

    def report(self) -> OscillationReport:
        """Layer by layer, role by role, head by head."""
        pieces = [_reported(w.name, p, self.flips[w.name], self.settings) for w in self.weights for p in w.pieces()]
        settings = self.settings
        return OscillationReport(
            settings.track_momentum, settings.track_threshold, settings.track_every, self.looks, tuple(pieces)
        )

    def layers(self) -> tuple[PieceReport, ...]:
        """Layer by layer, each in one piece."""
        wholes = [(w.name, Piece("layer", None, 0, 0, w.parameter.size(0))) for w in self.weights]
        return tuple(_reported(name, whole, self.flips[name], self.settings) for name, whole in wholes)

    def histograms(self, bins: int = 20) -> dict[str, Int[Tensor, " bins"]]:
        """How far the weights of each layer are from a boundary now, from 0 to half a step."""
        return {weight.name: histogram(weight.latent(), bins) for weight in self.weights}

    def state(self) -> dict[str, Any]:
        """All that was seen."""
        flips = {name: flips.state() for name, flips in self.flips.items()}
        return {"looks": self.looks, "flips": flips, "paths": self.paths.state(), "history": self.history.state()}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; without one, begin at the codes of now."""
        self._begin()
        if not state:
            return
        self.looks = int(state["looks"])
        self.paths.load_state(state["paths"])
        self.history.load_state(state.get("history", {}))
        for name, flips in self.flips.items():
            flips.load_state(state["flips"][name])


def _reported(layer: str, piece: Piece, flips: Flips, settings: TrackSettings) -> PieceReport:
    codes, direction, frequency = piece.of(flips.codes), piece.of(flips.direction), piece.of(flips.frequency)
    ever = (direction != 0).sum().item()
    return PieceReport(
        layer,
        piece.role,
        piece.head,
        codes.numel(),
        (frequency > settings.track_threshold).double().mean().item(),
        frequency.double().mean().item(),
        int(piece.of(flips.count).sum(dtype=torch.int64).item()),
        (codes != piece.of(flips.begin)).double().mean().item(),
        (direction > 0).sum().item() / ever if ever else 0.5,
    )
