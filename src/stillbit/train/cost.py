"""What a training costs, measured on a few of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

from stillbit.data.feed import Feed
from stillbit.train import distributed
from stillbit.train.loop import Loop
from stillbit.train.state import Training


@dataclass(frozen=True)
class Cost:
    """Of one step, of one image's evaluation, and of one checkpoint."""

    step_seconds: float
    image_seconds: float
    checkpoint_bytes: int


def measure(loop: Loop, training: Training, loader: Feed, *, steps: int) -> Cost:
    """Take one step that does not count (if there is another), then ``steps`` that do; the training is spent then."""
    training.model.train()
    times = []
    for batch in islice(loader.epoch(0), steps + 1):
        (images,) = distributed.agree(len(batch.targets))
        begin = _now(training)
        losses = loop.step(training, batch, images)
        for hook in loop.hooks:
            hook.after_step(training, losses)
        times.append(_now(training) - begin)
    training.model.eval()
    with torch.no_grad(), torch.autocast(loop.share.device.type, torch.bfloat16, enabled=loop.machine.amp):
        training.forward(*batch.inputs)
        begin = _now(training)
        training.forward(*batch.inputs)
        looked = (_now(training) - begin) / len(batch.targets)
    return Cost(median(times[1:] or times), looked, _size(training))


def _now(training: Training) -> float:
    if next(training.model.parameters()).is_cuda:
        torch.cuda.synchronize()
    return perf_counter()


def _size(training: Training) -> int:
    """Bytes of the model, of its average, and of all that the optimizer remembers."""
    model, optimizer = distributed.states(training.model, training.optimizer)
    copies = 1 if training.ema is None else 2
    remembered = [t for held in optimizer["state"].values() for t in held.values() if isinstance(t, Tensor)]
    return int(copies * sum(t.nbytes for t in model.values()) + sum(t.nbytes for t in remembered))
