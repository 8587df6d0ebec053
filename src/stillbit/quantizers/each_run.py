"""A quantizer for each run of a layer that runs more than once with the same weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from jaxtyping import Float
from torch import Tensor, nn

from stillbit.quantizers.base import Quantizer
from stillbit.quantizers.snap import Latent


@final
class EachRun(Quantizer):
    """Holds a quantizer a run; the module that runs its layers again says which run begins."""

    def __init__(self, runs: Sequence[Quantizer]) -> None:
        """Quantizers of one grid and one shape of scale."""
        super().__init__(runs[0].grid, runs[0].blocks)
        self.runs = nn.ModuleList(runs)
        self._run = 0

    def begin_run(self, number: int) -> None:
        """From now on the quantizer of this run is in use."""
        self._run = number

    def forward(self, x: Float[Tensor, "*shape"]) -> Latent:
        """``x``, ready to be snapped by the quantizer of this run."""
        ready: Latent = self.runs[self._run](x)
        return ready

    def scale_of(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*blocks"]:
        """The scale of this run."""
        scale: Tensor = self.runs[self._run].scale_of(x)  # type: ignore[operator]
        return scale

    def start(self, x: Float[Tensor, "*shape"], rule: str | None = None) -> None:
        """Begin every run at the same state."""
        for quantizer in self.parts():
            quantizer.start(x, rule)

    def is_started(self) -> bool:
        """Whether every run was."""
        return all(quantizer.is_started() for quantizer in self.parts())

    def parts(self) -> tuple[Quantizer, ...]:
        """What the quantizers of the runs are made of, in their order."""
        return tuple(part for run in self.runs for part in run.parts())  # type: ignore[operator]
