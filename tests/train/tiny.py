"""A training so small that an epoch of it takes milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.data.batch import Batch
from stillbit.data.generated import Generated
from stillbit.data.loaders import Loader, Place
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.train import optim, schedule
from stillbit.train.average import average
from stillbit.train.distributed import Share
from stillbit.train.hooks import Hook
from stillbit.train.loop import Loop
from stillbit.train.settings import (
    AverageSettings,
    LossSettings,
    MachineSettings,
    OptimSettings,
    ScheduleSettings,
)
from stillbit.train.state import Training
from stillbit.train.stop import Stop, Stopped
from stillbit.train.task import Classify, Losses, Task

ALONE = Share(0, 1, torch.device("cpu"))
LOOK = Look((8, 8), 1, (0.5,), (0.25,))
CLASSES = 3


def network(dropout: float = 0.0) -> nn.Sequential:
    """The same numbers at every call."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.LayerNorm(16), nn.Tanh(), nn.Dropout(dropout), nn.Linear(16, CLASSES)
    )


def loader(count: int = 24, batch: int = 4, *, train: bool = True, place: Place | None = None) -> Loader:
    augment = AugmentSettings() if train else None
    source = Generated(count, CLASSES, LOOK.size, LOOK.channels)
    return Loader(source, LOOK, DataSettings(batch_size=batch, workers=0), augment, seed=5, place=place)


def training(
    model: nn.Module | None = None,
    settings: OptimSettings | None = None,
    *,
    epochs: int = 3,
    steps: int = 6,
    ema: bool = False,
) -> Training:
    model = network() if model is None else model
    optimizer = optim.build(model, settings or OptimSettings(lr=0.01))
    curve = schedule.build(optimizer, ScheduleSettings(epochs=epochs, warmup_epochs=1), steps)
    return Training(
        model,
        model,
        optimizer,
        curve,
        average(model, AverageSettings(model_ema=True, model_ema_decay=0.9) if ema else AverageSettings()),
    )


def classify(**settings: Any) -> Classify:
    return Classify(LossSettings(**settings), CLASSES)


def loop(task: Task | None = None, hooks: Sequence[Hook] = (), *, clip: float | None = None, **machine: Any) -> Loop:
    return Loop(task or classify(), hooks, MachineSettings(**machine), ALONE, clip)


def batch(count: int = 8) -> Batch:
    """Of its own random state, so that what was drawn before does not matter."""
    chance = torch.Generator().manual_seed(3)
    images = torch.randn(count, 1, 8, 8, generator=chance)
    return Batch(images, torch.randint(CLASSES, (count,), generator=chance), torch.arange(count))


def fit(loop: Loop, training: Training, loader: Loader, epochs: int, until: int | None = None) -> None:
    """Train, to the end or to the step ``until``, where somebody asks to stop."""
    stop = Stop()
    if until is not None:
        loop.hooks = [*loop.hooks, Asker(stop, until)]
    try:
        loop.fit(training, loader, epochs, stop)
    except Stopped:
        assert until is not None


class Asker(Hook):
    """Asks to stop after a step."""

    name = "asker"

    def __init__(self, stop: Stop, at: int) -> None:
        self.stop, self.at = stop, at

    def after_step(self, training: Training, losses: Losses) -> None:
        if training.step == self.at:
            self.stop.signal = 15


def numbers(training: Training) -> dict[str, Tensor]:
    """All that a training has learned: of the model, of its average, and of the optimizer."""
    held = {f"model.{k}": v for k, v in training.model.state_dict().items()}
    if training.ema is not None:
        held |= {f"ema.{k}": v for k, v in training.ema.module.state_dict().items()}
    for number, state in training.optimizer.state_dict()["state"].items():
        held |= {f"optimizer.{number}.{k}": v for k, v in state.items() if isinstance(v, Tensor)}
    return {k: v.clone() for k, v in held.items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """To the last bit."""
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
