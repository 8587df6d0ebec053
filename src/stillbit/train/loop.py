"""The training loop."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.data.chance import hashes
from stillbit.data.feed import Feed
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.hooks import Hook
from stillbit.train.settings import MachineSettings
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped
from stillbit.train.task import Losses, Task

_STEP = 100  # what the random numbers are for: the first part of their key


@final
class Loop:
    """Takes a training from where it stands to its last epoch."""

    def __init__(self, task: Task, hooks: Sequence[Hook], machine: MachineSettings, share: Share, clip: float | None):
        """``clip`` is the largest norm of all gradients."""
        self.task, self.hooks, self.machine, self.share, self.clip = task, hooks, machine, share, clip

    def fit(self, training: Training, loader: Feed, epochs: int, stop: Stop, *, patience: int | None = None) -> None:
        """Train; raises `Stopped` between two steps when any process was asked to stop.

        With ``patience`` it ends when the best epoch was so many epochs ago.
        """
        while training.epoch < epochs and not stale(training, patience):
            training.model.train()
            for batch in loader.epoch(training.epoch, start=training.batch):
                images, asked = distributed.agree(len(batch.targets), stop.asked)
                if asked:
                    raise Stopped(stop.signal)
                losses = self.step(training, batch, images)
                for hook in self.hooks:
                    hook.after_step(training, losses)
            training.epoch, training.batch = training.epoch + 1, 0
            for hook in self.hooks:
                hook.after_epoch(training)

    def step(self, training: Training, batch: Any, images: int) -> Losses:
        """One step on this process's share of ``images`` images."""
        seed(self.machine.seed, training.step, self.share.rank)
        if training.schedule is not None:
            training.schedule.step_update(training.step)
        batch = self.task.prepare(batch)
        # The processes' gradients are averaged; weighted so, uneven shares still give the mean over all images.
        weight = self.share.world * len(batch.targets) / images
        losses: Losses = {}
        training.optimizer.zero_grad()
        for part, share, last in parts(batch, self.machine.grad_accum_steps):
            with distributed.waits(training.forward, last):
                with torch.autocast(self.share.device.type, torch.bfloat16, enabled=self.machine.amp):
                    named = self.task(training.forward, part)
                (torch.stack(list(named.values())).sum() * (weight * share)).backward()
            for name, loss in named.items():
                losses[name] = losses.get(name, 0.0) + loss.detach() * (weight * share)
        self.update(training)
        training.step, training.batch = training.step + 1, training.batch + 1
        if training.ema is not None:
            training.ema.update(training.model, step=training.step)
        return losses

    def update(self, training: Training) -> None:
        """Move the weights along the gradients that are there; hooks see them before and after."""
        for hook in self.hooks:
            hook.before_update(training)
        if self.clip is not None:
            nn.utils.clip_grad_norm_(training.model.parameters(), self.clip)
        training.optimizer.step()
        for hook in self.hooks:
            hook.after_update(training)


def stale(training: Training, patience: int | None) -> bool:
    """Whether the best epoch was ``patience`` epochs ago; a function of what a checkpoint holds."""
    best = training.best.get("epoch")
    return patience is not None and best is not None and training.epoch - best >= patience


def parts(batch: Any, count: int) -> Iterator[tuple[Any, float, bool]]:
    """A batch in ``count`` parts, each with its share of the images, and whether it is the last."""
    if count == 1:
        yield batch, 1.0, True
        return
    cut: list[tuple[Tensor | None, ...]] = [
        (None,) * count if tensor is None else tensor.tensor_split(count) for tensor in batch
    ]
    pieces = [piece for piece in map(batch._make, zip(*cut, strict=True)) if len(piece.targets)]
    for piece in pieces:
        yield piece, len(piece.targets) / len(batch.targets), piece is pieces[-1]


def seed(*key: int) -> None:
    """Make everything random in this step a function of ``key``: a run that resumes needs no luck."""
    number = int(hashes(1, _STEP, *key)[0] >> np.uint64(11))
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number % 2**32)
