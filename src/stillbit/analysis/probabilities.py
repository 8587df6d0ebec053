"""The probabilities of every attention while a model runs, as they meet the values."""

from __future__ import annotations

from typing import Any, Self, final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from stillbit.layers.attention import QuantAttention
from stillbit.layers.interface_attention import InterfaceAttention
from stillbit.layers.walk import quantized
from stillbit.quantizers.snap import Latent

Attended = Float[Tensor, "batch heads queries keys"]


@final
class Probabilities:
    """Keeps what every attention of an open twin attends to, by name, between entering and leaving.

    A float attention computes its probabilities itself then, and not in one call with the values: its output may differ
    in the last digits. The twin is changed for good; the model it came from is not.
    """

    def __init__(self, opened: nn.Module) -> None:
        """``opened`` is an `open_twin`."""
        self.layers = {name: layer for name, layer in quantized(opened) if isinstance(layer, QuantAttention)}
        self.held: dict[str, list[Attended]] = {}
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> Self:
        """Begin to listen."""
        for name, layer in self.layers.items():
            stands: Any = layer.probability_quantizer or _Nothing()
            layer.probability_quantizer = stands
            if isinstance(layer, InterfaceAttention):  # which asks for no function of ours while it is float
                layer.take_over()
            self._handles.append(stands.register_forward_hook(self._keep(name)))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, and let go of what was kept."""
        while self._handles:
            self._handles.pop().remove()
        self.held.clear()

    def take(self) -> dict[str, Attended]:
        """What was attended to since the last call; a block that runs twice has a name for each run."""
        found = {}
        for name, each in self.held.items():
            for run, attended in enumerate(each):
                found[name if len(each) == 1 else f"{name} (run {run + 1})"] = attended
        self.held.clear()
        return found

    def _keep(self, name: str) -> Any:
        def keep(quantizer: nn.Module, inputs: Any, ready: Latent) -> None:
            with torch.no_grad():
                self.held.setdefault(name, []).append(ready.value())

        return keep


@final
class _Nothing(nn.Module):
    """Stands where a quantizer could, and lets numbers through."""

    blocks = (1,)

    def forward(self, x: Tensor) -> Latent:
        return Latent(x)
