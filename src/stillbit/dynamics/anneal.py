"""CGA, confidence-guided annealing (OFQ, arXiv 2302.02210): only weights that are undecided between two codes move.

A weight is undecided while it lies within ``band`` steps of a boundary. The others have no gradient, and every update
leaves them as they are, to the last bit. Query and key are among them, also where they are one merged matrix; the
released code freezes neither. The band is looked at anew before every update, with the scales of that moment.
"""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from stillbit.dynamics.boundary import distances
from stillbit.dynamics.low_bit import low_bit
from stillbit.dynamics.watch import Training, Watch


@final
class Anneal(Watch):
    """From step ``begin`` on, holds every low-bit weight that is confident of its code."""

    name: ClassVar[str] = "anneal"

    def __init__(self, model: nn.Module, *, begin: int, band: float = 0.005) -> None:
        """``band`` is in steps of the grid; OFQ's boundary range."""
        self.weights = low_bit(model, "annealing")
        self.begin, self.band = begin, band
        self.held: dict[str, tuple[Tensor, Tensor]] = {}
        self.moving: dict[str, Tensor] = {}

    @torch.no_grad()
    def before_update(self, training: Training) -> None:
        """Take the gradients of confident weights away, and remember their numbers."""
        if training.step < self.begin:
            return
        for weight in self.weights:
            parameter = weight.parameter
            undecided = distances(weight.latent()) <= self.band
            if parameter.grad is not None:
                parameter.grad.masked_fill_(~undecided, 0)
            self.held[weight.name] = parameter.detach().clone(), undecided
            self.moving[weight.name] = undecided.sum()

    @torch.no_grad()
    def after_update(self, training: Training) -> None:
        """Put them back, against momentum and decay."""
        for weight in self.weights:
            if weight.name in self.held:
                before, undecided = self.held.pop(weight.name)
                weight.parameter.copy_(weight.parameter.where(undecided, before))

    def after_step(self, training: Training, losses: dict[str, Tensor]) -> None:
        """A run is judged from the annealing on: what was best before is not what the recipe is about."""
        if 0 < self.begin == training.step - 1:
            training.best = {}

    def shares(self) -> dict[str, float]:
        """The share of every layer's weights that the last update could move; empty before the annealing."""
        sizes = {weight.name: weight.parameter.numel() for weight in self.weights}
        return {name: moving.item() / sizes[name] for name, moving in self.moving.items()}

    def numbers(self) -> dict[str, float]:
        """The same of all layers together."""
        if not self.moving:
            return {}
        moving = torch.stack(list(self.moving.values())).sum().item()
        return {"in_band": moving / sum(weight.parameter.numel() for weight in self.weights)}

    def state(self) -> dict[str, Any]:
        """How many could move at the last update, which the log of an epoch wants to know."""
        return {"moving": {name: moving.clone() for name, moving in self.moving.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.moving = {name: moving.clone() for name, moving in state.get("moving", {}).items()}
