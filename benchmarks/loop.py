"""The training loop against a bare one: the same model, the same images, the same optimizer, taking turns.

    python benchmarks/loop.py                        small and fast steps, where a loop's own work shows most
    python benchmarks/loop.py --model deit_tiny_patch16_224 --batch 16 --steps 6

The bare loop is what one writes in a notebook: images of the loader, forward, cross-entropy, backward, AdamW, nothing
else. Ours does all that a run does between two evaluations: seeds every step, sets the learning rate, asks whether to
stop, keeps and logs the losses, shows progress. Both get their images from the same loader.
"""

from __future__ import annotations

import io
import json
import platform
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import timm
import torch
import tyro
from rich.console import Console
from torch import nn
from torch.nn.functional import cross_entropy

import stillbit.models  # noqa: F401 (timm then knows the tiny ones)
from stillbit.data.generated import Generated
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.train import optim, schedule
from stillbit.train.distributed import Share
from stillbit.train.log import Log
from stillbit.train.loop import Loop
from stillbit.train.progress import Progress
from stillbit.train.settings import LossSettings, MachineSettings, OptimSettings, ScheduleSettings
from stillbit.train.state import Training
from stillbit.train.stop import Stop
from stillbit.train.task import Classify


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "vit_pico_patch4_32"
    batch: int = 64
    steps: int = 50
    """Steps a turn."""
    rounds: int = 7
    threads: int = 1
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Take turns, print the table."""
    torch.set_num_threads(settings.threads)
    look = Look.of(timm.create_model(settings.model).pretrained_cfg)
    images = Generated(settings.batch * settings.steps, 10, look.size, 3)
    data = DataSettings(batch_size=settings.batch, workers=0)
    loader = Loader(images, look, data, AugmentSettings(scale=(0.35, 1)), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        turns = {"bare": bare(settings, loader), "ours": ours(settings, loader, Path(folder))}
        times: dict[str, list[float]] = {name: [] for name in turns}
        for _ in range(settings.rounds + 1):  # the first round warms up
            for name, turn in turns.items():
                begin = time.perf_counter()
                next(turn)
                times[name].append(time.perf_counter() - begin)
    seen = settings.batch * settings.steps
    speed = {name: seen / statistics.median(taken[1:]) for name, taken in times.items()}
    ratios = [b / o for b, o in zip(times["bare"][1:], times["ours"][1:], strict=True)]
    row = {
        "bare images/s": f"{speed['bare']:.0f}",
        "ours images/s": f"{speed['ours']:.0f}",
        "ratio": f"{statistics.median(ratios):.3f} [{min(ratios):.3f}-{max(ratios):.3f}]",
    }
    table = "| model | batch | " + " | ".join(row) + " |\n|---|---|" + "---|" * len(row)
    table += f"\n| {settings.model} | {settings.batch} | " + " | ".join(row.values()) + " |\n"
    machine = f"{_processor()}, {settings.threads} thread(s), torch {torch.__version__}"
    about = f"{machine}, {date.today()}, {settings.rounds} turns"
    print(table + about)
    if settings.output is not None:
        name = settings.output / f"loop_{settings.model}"
        name.with_suffix(".md").write_text(f"{table}\n{about} of {settings.steps} steps\n")
        held = {"settings": {**asdict(settings), "output": None}, "seconds": times, "about": about}
        name.with_suffix(".json").write_text(json.dumps(held, indent=1) + "\n")


def bare(settings: Settings, loader: Loader):
    """A loop as one writes it by hand; each ``next`` is one pass over the images."""
    model = timm.create_model(settings.model, num_classes=10)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    while True:
        model.train()
        for batch in loader.epoch(0):
            loss = cross_entropy(model(batch.images), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield


def ours(settings: Settings, loader: Loader, folder: Path):
    """The loop of a run, with its log and progress, without evaluation and checkpoints."""
    model: nn.Module = timm.create_model(settings.model, num_classes=10)
    optimizer = optim.build(model, OptimSettings())
    training = Training(model, model, optimizer, schedule.build(optimizer, ScheduleSettings(epochs=100), len(loader)))
    share = Share(0, 1, torch.device("cpu"))
    log = Log(folder, loader, share, 10, Progress(Console(file=io.StringIO()), 100, len(loader)))
    training.scores = {"top1": 0.0}
    loop = Loop(Classify(LossSettings(), 10), [log], MachineSettings(), share, None)
    while True:
        loop.fit(training, loader, training.epoch + 1, Stop())
        yield


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


if __name__ == "__main__":
    main(tyro.cli(Settings))
