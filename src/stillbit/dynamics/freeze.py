"""Iterative freezing in a training: a weight that oscillates too often is put into the middle of its bin, for good."""

from __future__ import annotations

from typing import Any, ClassVar, final

import torch
from torch import Tensor, nn

from stillbit.dynamics.low_bit import low_bit
from stillbit.dynamics.pins import Pins
from stillbit.dynamics.ramp import Ramp
from stillbit.dynamics.watch import Training, Watch
from stillbit.layers.walk import QuantizedWeight
from stillbit.quantizers.granularity import spread

PASSES = 32
"""A scale that is measured from the weights moves when weights are written; then they are written again."""


@final
class Freeze(Watch):
    """Holds frozen weights through every update, and freezes more.

    A frozen latent has no gradient and keeps its number to the last bit, whatever optimizer, momentum and decay do.
    It is written anew, to the middle of the same bin, only where its scale moved so far that its code would change.
    """

    name: ClassVar[str] = "freeze"

    def __init__(self, model: nn.Module, threshold: Ramp, *, momentum: float = 0.001) -> None:
        """``threshold`` counts from the share of the training at which freezing begins; before it nothing freezes."""
        self.weights = low_bit(model, "freezing")
        for weight in self.weights:
            if weight.latent().x is not weight.parameter:
                kind = type(weight.quantizer).__name__
                raise ValueError(
                    f"freezing puts weights into the middle of their bins, and {kind} of {weight.name} transforms "
                    "weights before they have bins: use lsq, minmax or statsq"
                )
        self.threshold, self.momentum = threshold, momentum
        self.held: dict[str, Tensor] = {}
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        self.pins = {w.name: Pins(w.codes(), w.quantizer.grid) for w in self.weights}
        self.begun = False

    @torch.no_grad()
    def before_update(self, training: Training) -> None:
        """Take the gradients of frozen weights away, and remember their numbers."""
        if not self.begun:
            return
        for weight in self.weights:
            frozen, gradient = self.pins[weight.name].frozen, weight.parameter.grad
            if gradient is not None:
                gradient.masked_fill_(frozen, 0)
            self.held[weight.name] = weight.parameter.detach().clone()

    @torch.no_grad()
    def after_update(self, training: Training) -> None:
        """Put them back, look at all codes, and freeze what oscillates."""
        step = training.step + 1
        threshold = self.threshold(step) if step >= self.threshold.after * self.threshold.steps else 0.0
        for weight in self.weights:
            pins, parameter = self.pins[weight.name], weight.parameter
            if weight.name in self.held:
                parameter.copy_(self.held.pop(weight.name).where(pins.frozen, parameter))
                settle(weight, pins, torch.zeros_like(pins.frozen))
            fresh = pins.see(weight.codes(), threshold, self.momentum)
            if threshold:
                settle(weight, pins, fresh)
        self.begun = self.begun or threshold > 0

    def numbers(self) -> dict[str, float]:
        """The share of the weights that is frozen."""
        frozen = torch.stack([pins.frozen.sum() for pins in self.pins.values()]).sum().item()
        return {"frozen": frozen / sum(pins.frozen.numel() for pins in self.pins.values())}

    def state(self) -> dict[str, Any]:
        """What is frozen at which code, and how often the rest turned back."""
        return {"begun": self.begun, "pins": {name: pins.state() for name, pins in self.pins.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``; without one, begin at the codes of now."""
        self._begin()
        if not state:
            return
        self.begun = bool(state["begun"])
        for name, pins in self.pins.items():
            pins.load_state(state["pins"][name])


@torch.no_grad()
def settle(weight: QuantizedWeight, pins: Pins, write: Tensor) -> None:
    """Write these weights into the middle of their bins, and every frozen one whose code is another than its own."""
    for _ in range(PASSES):
        latent = weight.latent()
        assert latent.scale is not None, "a quantized weight has a scale"
        write = write | (pins.frozen & (latent.code() != pins.codes))
        if not write.any():
            return
        middle = (pins.codes + pins.grid.offset) * spread(latent.scale, latent.x.shape)
        weight.parameter.copy_(middle.to(latent.x.dtype).where(write, latent.x))
        write = torch.zeros_like(write)
