"""The running average of a model."""

from __future__ import annotations

from timm.utils.model_ema import ModelEmaV3
from torch import nn

from stillbit.train.settings import AverageSettings


def average(model: nn.Module, settings: AverageSettings, *, fsdp: bool = False) -> ModelEmaV3 | None:
    """A second copy of ``model`` that follows it slowly, if the settings ask for one."""
    if not settings.model_ema:
        return None
    if fsdp:
        raise ValueError("--model-ema keeps a whole second model, which --fsdp has no place for: leave out one of them")
    return ModelEmaV3(model, decay=settings.model_ema_decay)
