"""What a teacher costs while a student trains: stored labels and one that is asked at every step, against none.

    python benchmarks/distill_epoch.py --output benchmarks/results
    python benchmarks/distill_epoch.py --bits "" --amp --batch 16 --steps 4

One process and one thread do all of it, decoding included: generated JPEGs of 500 x 375 pixels, crops of 224, the loop
of a run. The ways take turns. `true labels` draws a crop of each of the images; `stored labels` decodes a quarter of
them and cuts four stored crops of each; `teacher asked now` does what the first does and asks a ResNet-152. Weights are
random, which changes no time.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import tyro
from PIL import Image
from torch import Tensor, nn

import stillbit
from stillbit.data.folder import Folder
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.replay import Replay
from stillbit.distill.seen import Images
from stillbit.distill.settings import DistillSettings, WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.tasks import FromStore, FromTeacher
from stillbit.distill.write import Work, request, write_labels
from stillbit.layers.walk import scale_names
from stillbit.train import optim
from stillbit.train.distributed import Share
from stillbit.train.loop import Loop
from stillbit.train.settings import LossSettings, MachineSettings, OptimSettings
from stillbit.train.state import Training
from stillbit.train.stop import Stop
from stillbit.train.task import Classify, Task


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    student: str = "deit_tiny_patch16_224"
    bits: str = "w4a4"
    """Of the student; float if empty."""
    teacher: str = "resnet152"
    batch: int = 16
    steps: int = 4
    """Steps an epoch."""
    crops: int = 4
    views: int = 8
    """Stored crops of an image."""
    rounds: int = 5
    amp: bool = False
    threads: int = 1
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Take turns, an epoch each, and print the table."""
    torch.set_num_threads(settings.threads)
    with tempfile.TemporaryDirectory(prefix="distill_epoch_") as folder:
        ways = turns(settings, Path(folder))
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(settings.rounds + 1):  # the first round reads the files into memory
            for name, way in ways.items():
                begin = time.perf_counter()
                next(way)
                times[name].append(time.perf_counter() - begin)
    held = {name: taken[1:] for name, taken in times.items()}
    text = table(settings, held)
    print(text)
    if settings.output is not None:
        name = settings.output / f"distill_epoch_{settings.bits or 'float'}{'_amp' * settings.amp}"
        name.with_suffix(".md").write_text(text)
        about = {"settings": {**asdict(settings), "output": None}, "date": str(date.today()), "seconds": held}
        name.with_suffix(".json").write_text(json.dumps({**about, "hardware": hardware(settings)}, indent=1) + "\n")


def turns(settings: Settings, folder: Path) -> dict[str, Iterator[None]]:
    """The ways; each ``next`` is an epoch."""
    source = draw(folder / "images", settings.batch * settings.steps)
    model = timm.create_model(settings.teacher, num_classes=len(source))
    look = Look.of(timm.create_model(settings.student).pretrained_cfg)
    teacher = Expert(name=settings.teacher, model=model, look=Look.of(model.pretrained_cfg))
    assert teacher.look is not None and teacher.look.size == look.size, "a teacher of the student's size"
    store = labels(folder / "labels", source, look, settings.views)
    asked = DistillSettings(teacher=settings.teacher)
    plain = Classify(LossSettings(), len(source))
    return {
        "true labels": epochs(settings, source, look, lambda student: plain),
        "stored labels": epochs(settings, source, look, lambda student: FromStore(store.layout.kind), store),
        "teacher asked now": epochs(
            settings, source, look, lambda student: FromTeacher(plain, teacher, student, look, asked)
        ),
    }


def epochs(settings: Settings, source: Folder, look: Look, task: Any, store: Store | None = None) -> Iterator[None]:
    """Train a student of its own, an epoch at a time."""
    torch.manual_seed(0)
    student: nn.Module = timm.create_model(settings.student, num_classes=len(source))
    if settings.bits:
        student = stillbit.quantize(student, settings.bits)
        stillbit.calibrate(student, [torch.randn(4, look.channels, *look.size)])
    data = DataSettings(batch_size=settings.batch, workers=0)
    if store is None:
        loader = Loader(source, look, data, AugmentSettings(), seed=0)
    else:
        loader = Loader(source, look, data, seed=0, views=Replay(store, source, look, settings.crops))
    learned: Task = task(student)
    training = Training(student, student, optim.build(student, OptimSettings(), apart=scale_names(student)))
    loop = Loop(learned, [], MachineSettings(amp=settings.amp), Share(0, 1, torch.device("cpu")), None)
    while True:
        loop.fit(training, loader, training.epoch + 1, Stop())
        yield


def draw(root: Path, count: int) -> Folder:
    """JPEGs with something in them, of the size that photographs in ImageNet have, each of a class of its own."""
    chance = np.random.default_rng(0)
    for number in range(count):
        target = root / f"{number:04}" / "0.jpg"
        target.parent.mkdir(parents=True)
        small = chance.integers(0, 256, (24, 32, 3), dtype=np.uint8)
        picture = Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC)
        grain = chance.normal(0, 8, (375, 500, 3))
        pixels = (np.asarray(picture) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(target, quality=90)
    return Folder(root)


class Quick(nn.Module):
    """Who gives labels in no time."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(3, classes)

    def forward(self, images: Tensor) -> Tensor:
        """From the mean colour."""
        return self.head(images.mean((2, 3)))


def labels(folder: Path, source: Folder, look: Look, views: int) -> Store:
    """A store of five classes a view."""
    asked = WriteSettings(output=folder, crops=views, batch_size=64)
    panel = Panel([Expert(name="quick", model=Quick(len(source)), look=look)], len(source.classes))
    seen = Images(source, look, asked.augment(), count=views, seed=0)
    write_labels(folder, request(seen, panel, asked), seen, panel, Work())
    return Store(folder)


def table(settings: Settings, times: dict[str, list[float]]) -> str:
    """A row a way, with its epochs against those of true labels in the same round."""
    lines = [
        "| an epoch with | images/s | time against true labels, median [lowest-highest] |",
        "|---|---|---|",
    ]
    images = settings.batch * settings.steps
    for name, taken in times.items():
        ratios = sorted(a / b for a, b in zip(taken, times["true labels"], strict=True))
        speed = images / statistics.median(taken)
        lines.append(f"| {name} | {speed:.2f} | {statistics.median(ratios):.3f} [{ratios[0]:.3f}-{ratios[-1]:.3f}] |")
    asked = [a / b for a, b in zip(times["teacher asked now"], times["stored labels"], strict=True)]
    said = hardware(settings)
    about = (
        f"A teacher that is asked takes {statistics.median(asked):.2f} times as long as its stored labels (published "
        f"for DeiT-T on GPUs: 2.5). Student {settings.student} {settings.bits or 'float'}, teacher {settings.teacher}, "
        f"batch {settings.batch}, {settings.steps} steps an epoch, {'bfloat16' if settings.amp else 'float32'}. "
        f"{date.today()}, {said['processor']}, {settings.threads} thread(s), torch {said['torch']}, "
        f"{settings.rounds} turns."
    )
    return "\n".join([*lines, "", about, ""])


def hardware(settings: Settings) -> dict[str, Any]:
    """On what it was measured."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {"processor": name, "threads": settings.threads, "torch": torch.__version__, "timm": timm.__version__}


if __name__ == "__main__":
    main(tyro.cli(Settings))
