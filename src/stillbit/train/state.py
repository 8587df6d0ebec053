"""What changes while a model trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from timm.scheduler.scheduler import Scheduler
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim import Optimizer


@dataclass
class Training:
    """The moving parts of a run. Hooks read them, and may change them."""

    model: nn.Module
    """The model itself."""
    forward: nn.Module
    """What a step calls: the model, or a wrapper that joins the processes."""
    optimizer: Optimizer
    schedule: Scheduler | None = None
    ema: ModelEmaV3 | None = None
    epoch: int = 0
    """Whole epochs done."""
    batch: int = 0
    """Steps done of the epoch that has begun."""
    step: int = 0
    """Steps done in all."""
    damaged: int = 0
    """Images that were left out so far because they are damaged."""
    scores: dict[str, float] = field(default_factory=dict)
    """The last evaluation."""
    best: dict[str, Any] = field(default_factory=dict)
    """The best evaluation so far, and its epoch."""

    @property
    def judged(self) -> nn.Module:
        """The model that the run is judged by: the average, if there is one."""
        return self.model if self.ema is None else self.ema.module
