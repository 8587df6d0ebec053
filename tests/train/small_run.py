"""A run with all its hooks, as `stillbit train` puts it together, on a training that takes milliseconds."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from stillbit.train import checkpoint
from stillbit.train.checkpoint import Checkpoints
from stillbit.train.evaluate import Evaluation
from stillbit.train.hooks import Hook
from stillbit.train.log import Log
from stillbit.train.progress import Progress
from stillbit.train.settings import OptimSettings, OutputSettings
from tests.train import tiny

EPOCHS, STEPS = 3, 6


class SmallRun:
    """Three epochs of six steps, with everything on that draws random numbers."""

    def __init__(self, folder: Path, opt: str = "adamw", *, ema: bool = True, more: Hook | None = None, **out: Any):
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.training = tiny.training(tiny.network(0.3), OptimSettings(opt=opt, lr=0.01), ema=ema)
        self.loader = tiny.loader()
        progress = Progress(Console(file=io.StringIO(), quiet=True), EPOCHS, STEPS)
        self.log = Log(folder, self.loader, tiny.ALONE, 4, progress)
        judge = Evaluation(tiny.loader(9, train=False), tiny.ALONE, False)
        hooks: list[Hook] = [judge, self.log]
        about = {"recipe": {"method": "none"}, "images_a_step": 4}
        self.checkpoints = Checkpoints(folder, OutputSettings(**out), tiny.ALONE, about, hooks, 1)
        self.resumable = hooks
        self.hooks = [*hooks, self.checkpoints, *([] if more is None else [more])]

    def fit(self, until: int | None = None) -> SmallRun:
        loop = tiny.loop(tiny.classify(mixup=0.5, cutmix=0.5, smoothing=0.1), self.hooks, clip=1.0)
        tiny.fit(loop, self.training, self.loader, EPOCHS, until)
        return self

    def resume(self, name: str = "last.pt") -> SmallRun:
        checkpoint.resume(self.training, self.resumable, checkpoint.read(self.folder / name))
        return self
