"""A short training of a model in which one group of tensors has other bits than the rest."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from itertools import islice
from typing import Any

import torch
from torch import nn

from stillbit.analysis.switches import Switched
from stillbit.layers.walk import scale_names
from stillbit.train import optim, schedule
from stillbit.train.settings import LossSettings, OptimSettings, ScheduleSettings
from stillbit.train.task import Classify


def retrained(switched: Switched, batches: Iterable[Any], steps: int, settings: OptimSettings) -> nn.Module:
    """A copy of the model as it is set now after ``steps`` steps, one a batch, in eval mode.

    Weights and scales learn with the same optimizer and cosine schedule as in `stillbit train`. What is random in it
    (stochastic depth) is drawn the same way each time, and from no generator that others use.
    """
    model = deepcopy(switched.model)
    optimizer = optim.build(model, settings, scale_names(model))
    curve = schedule.build(optimizer, ScheduleSettings(epochs=1), steps)
    task = Classify(LossSettings(), 0)
    device = next(model.parameters()).device
    done = 0
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        model.train()
        for done, batch in enumerate(islice(batches, steps), start=1):
            curve.step_update(done - 1)
            optimizer.zero_grad()
            sum(task(model, batch).values(), start=torch.zeros((), device=device)).backward()
            if settings.clip_grad is not None:
                nn.utils.clip_grad_norm_(model.parameters(), settings.clip_grad)
            optimizer.step()
    if done < steps:
        raise ValueError(f"{steps} steps need as many batches, and there were {done}: ask for fewer, --train {done}")
    return model.eval()
