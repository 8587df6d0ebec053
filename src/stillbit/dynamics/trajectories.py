"""The paths of a few weights of every layer, in units of codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from stillbit.layers.walk import QuantizedWeight
from stillbit.quantizers.granularity import spread
from stillbit.quantizers.snap import Latent, to_steps


@final
class Trajectories:
    """Keeps the last ``window`` positions of ``samples`` weights a layer, drawn once, the same at every start.

    A position of 1.5 is the boundary between code 1 and code 2, on a mid-rise grid too.
    """

    def __init__(self, weights: Sequence[QuantizedWeight], samples: int, window: int) -> None:
        """Draw the weights; nothing is remembered yet."""
        chance = torch.Generator().manual_seed(0)
        self.indices = {
            w.name: torch.randperm(w.parameter.numel(), generator=chance)[:samples].sort().values for w in weights
        }
        self.paths = {
            w.name: w.parameter.new_zeros(window, len(self.indices[w.name]), dtype=torch.float32) for w in weights
        }
        self.steps = torch.zeros(window, dtype=torch.int64)
        self.seen = 0

    @torch.no_grad()
    def see(self, name: str, latent: Latent) -> None:
        """Take in where the drawn weights of a layer are."""
        assert latent.scale is not None and latent.grid is not None, "a quantized weight has a scale"
        at = torch.unravel_index(self.indices[name].to(latent.x.device), latent.x.shape)
        scale = spread(latent.scale, latent.x.shape).expand_as(latent.x)[at]
        self.paths[name][self.seen % len(self.steps)] = to_steps(latent.x[at], scale) - latent.grid.offset

    def close_look(self, step: int) -> None:
        """All layers were seen, after ``step`` steps."""
        self.steps[self.seen % len(self.steps)] = step
        self.seen += 1

    def path(self, name: str) -> tuple[Int[Tensor, " looks"], Float[Tensor, "looks samples"]]:
        """The steps and the positions of a layer's drawn weights, oldest first."""
        kept, window = min(self.seen, len(self.steps)), len(self.steps)
        order = torch.arange(self.seen - kept, self.seen) % window
        return self.steps[order], self.paths[name].cpu()[order]

    def state(self) -> dict[str, Any]:
        """The paths, and which weights they are of."""
        return {
            "seen": self.seen,
            "steps": self.steps.clone(),
            "indices": {name: index.clone() for name, index in self.indices.items()},
            "paths": {name: path.clone() for name, path in self.paths.items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """The inverse of ``state``."""
        self.seen, self.steps = int(state["seen"]), state["steps"].clone()
        self.indices = {name: index.clone() for name, index in state["indices"].items()}
        self.paths = {n: state["paths"][n].to(path.device, copy=True) for n, path in self.paths.items()}
