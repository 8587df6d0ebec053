"""What a person sees while a model trains: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import resource
import sys
import time
from datetime import timedelta
from typing import Any, final

import torch
from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from stillbit.train.evaluate import JUDGED
from stillbit.train.state import Training

SHARES = ("oscillating", "frozen", "in_band")
"""Of weights, where a hook says them: a person sees them after every epoch."""


@final
class Progress:
    """Epoch, step, losses, accuracy, images a second, time left, memory. A silent console shows none of it."""

    def __init__(self, console: Console, epochs: int, steps: int, unit: str = "img") -> None:
        """``steps`` is how many an epoch has, ``unit`` what one example is called."""
        self.console, self.epochs, self.steps, self.unit = console, epochs, steps, unit
        self.live = Bar(
            TextColumn("epoch [bold]{task.fields[epoch]}[/]"),
            BarColumn(24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[said]}"),
            TextColumn("[cyan]{task.fields[left]}[/]"),
            console=console,
            refresh_per_second=4,
            transient=True,
            disable=not console.is_terminal or console.quiet,
        )
        self.bar = self.live.add_task("", total=steps, epoch=f"1/{epochs}", said="", left="")
        self.began, self.done = time.perf_counter(), 0

    def __enter__(self) -> Progress:
        """Show the live line."""
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.live.stop()

    def tick(self, training: Training) -> None:
        """A step is done."""
        self.done += 1
        if not self.live.disable:
            left = f"{self._left(training)} left"
            now = f"{training.epoch + 1}/{self.epochs}"
            self.live.update(self.bar, completed=training.batch, epoch=now, left=left)

    def step(self, training: Training, means: dict[str, float], rate: float) -> None:
        """A line of the log is due."""
        score = f"  {_judged(training.scores, 1)}" if training.scores else ""
        said = f"{_numbers(means)}{score}  {_count(rate)} {self.unit}/s  {memory(training)}"
        if not self.live.disable:
            self.live.update(self.bar, said=said)
        else:
            at = f"epoch {training.epoch + 1}/{self.epochs} step {training.batch}/{self.steps}"
            self._line(f"{at}  {said}  {self._left(training)} left")

    def epoch(self, training: Training, row: dict[str, Any]) -> None:
        """An epoch is done: a line that stays."""
        took = time.perf_counter() - self.began
        losses = {k.removeprefix("train_"): v for k, v in row.items() if k.startswith("train_")}
        seen = "".join(f"  {name.replace('_', ' ')} {100 * row[name]:.2f} %" for name in SHARES if name in row)
        best = " [green]best[/]" if training.best.get("epoch") == training.epoch else ""
        averaged = {name.removeprefix("ema_"): value for name, value in row.items() if name.startswith("ema_")}
        average = f" (average {_judged(averaged, 2).partition(' ')[2]})" if averaged else ""
        damaged = f"  [yellow]{row['damaged']} damaged images left out, see damaged.txt[/]" if row["damaged"] else ""
        self._line(
            f"epoch [bold]{training.epoch}/{self.epochs}[/]  {_numbers(losses)}  [bold]{_judged(row, 2)}[/]"
            f"{average}{best}{seen}  {_clock(took)} gone, {self._left(training)} left{damaged}"
        )

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def _left(self, training: Training) -> str:
        """At the pace of this process so far, evaluations included."""
        pace = (time.perf_counter() - self.began) / max(self.done, 1)
        return _clock(pace * (self.epochs * self.steps - training.step))


def memory(training: Training) -> str:
    """The most that this process ever used, on the GPU if it is there."""
    device = next(training.model.parameters()).device
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB on {device}"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return f"{peak * (1 if sys.platform == 'darwin' else 1024) / 2**30:.1f} GiB"


def _numbers(values: dict[str, float]) -> str:
    """Three digits behind the point, or as many as a small number needs to be one."""
    return "  ".join(f"{k} {v:.3f}" if abs(v) >= 0.001 or not v else f"{k} {v:.1e}" for k, v in values.items())


def _judged(scores: dict[str, Any], digits: int) -> str:
    """What a run is judged by: top1, or the score of a task of texts."""
    name = next(name for name in JUDGED if name in scores)
    return f"{name} {scores[name]:.{digits}f} %"


def _count(rate: float) -> str:
    return f"{rate:.0f}" if rate >= 10 else f"{rate:.1f}"


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))
