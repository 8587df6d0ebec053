"""What one backward pass guesses about all groups at once: squared gradient times squared quantization error.

The divergence of a slightly changed model from the unchanged one is, to second order, half the change's square in the
Fisher metric. Its diagonal is the mean square of the gradient, where the labels are drawn from what the model itself
says; errors of rounding go both ways, so what is beside the diagonal is left out:

    KL  ~  1/2 sum_i  E[g_i^2] (Q(x_i) - x_i)^2

over the weights and activations of a group. It is a sum over tensors, so that every group comes of the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy

from stillbit.analysis.given import Given
from stillbit.analysis.groups import Tensors
from stillbit.analysis.switches import Part, Place, Switched
from stillbit.data.text import TextBatch


def proxies(
    switched: Switched, batches: Iterable[Given], groups: Sequence[Tensors], *, seed: int = 0, samples: int = 1
) -> tuple[float, ...]:
    """A guess of the divergence, in nats, that each group causes when it alone is at the low bits.

    ``samples`` labels an image are drawn, each with a backward pass of its own.
    """
    switched.set("float")
    draw = torch.Generator().manual_seed(seed)
    ledger = _Ledger(switched)
    images = 0
    for batch in batches:
        for _ in range(samples):
            ledger.add(batch, draw)
        images += len(batch.targets) * samples
    ledger.close()
    return tuple(ledger.of(group.parts) / (2 * images) for group in groups)


class _Ledger:
    """Sums of squared gradient times squared error: by element for weights, by head or channel for activations."""

    def __init__(self, switched: Switched) -> None:
        self.switched = switched
        self.sums: dict[Place, Float[Tensor, "*shape"]] = {}
        self.weights: dict[Place, Tensor] = {
            place: switched.model.get_submodule(place[0]).weight  # type: ignore[misc]
            for place in switched.switches
            if place[1] == "weight"
        }
        """Their squared gradients come first; the errors are the same for all images, and come at the end."""

    def add(self, batch: Given, draw: torch.Generator) -> None:
        """The samples with labels drawn once."""
        hooks = [
            switch.register_forward_hook(lambda _, args, __, place=place: self._see(place, args[0]))
            for place, switch in self.switched.switches.items()
            if place not in self.weights
        ]
        try:
            with torch.enable_grad():
                logits = self.switched(*_watched(batch).inputs)
                drawn = torch.multinomial(logits.detach().float().softmax(1).cpu(), 1, generator=draw)[:, 0]
                cross_entropy(logits, drawn.to(logits.device), reduction="sum").backward()
            for place, weight in self.weights.items():
                if weight.grad is not None:
                    self._add(place, weight.grad.square().double())
        finally:
            for hook in hooks:
                hook.remove()
            for parameter in self.switched.model.parameters():
                parameter.grad = None

    def _see(self, place: Place, x: Tensor) -> None:
        if x.requires_grad:
            numbers = x.detach()  # a hook that held x itself would keep it alive for ever
            x.register_hook(lambda gradient: self._weigh(place, gradient, numbers))

    @torch.no_grad()
    def _weigh(self, place: Place, gradient: Tensor, x: Tensor) -> None:
        """What the gradient of an activation says, summed up but for the channels, or the heads."""
        said = (self.switched.switches[place].at("low", x) - x).mul_(gradient).square_()
        axis = said.dim() - (1 if place[1] == "input" else 3)
        self._add(place, said.sum([i for i in range(said.dim()) if i != axis], keepdim=True, dtype=torch.float64))

    def _add(self, place: Place, said: Tensor) -> None:
        before = self.sums.get(place)
        self.sums[place] = said if before is None else before.add_(said)

    @torch.no_grad()
    def close(self) -> None:
        """All images were seen."""
        for place, weight in self.weights.items():
            if place in self.sums:
                self.sums[place].mul_((self.switched.switches[place].at("low", weight) - weight).square())

    def of(self, parts: Iterable[Part]) -> float:
        """The sum over these parts."""
        return sum(float(part.of(self.sums[part.place]).sum()) for part in parts if part.place in self.sums)


def _watched(batch: Given) -> Given:
    """The batch with images that have a gradient, as the first layer's input has to; texts get one from their table."""
    if isinstance(batch, TextBatch):
        return batch
    return batch._replace(images=batch.images.detach().clone().requires_grad_(True))
