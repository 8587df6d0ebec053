"""Images a second of the loader, against what one writes with torchvision by hand, in one run.

    python benchmarks/loader.py                    512 JPEGs of 500 x 375 pixels, 2 workers
    python benchmarks/loader.py --rounds 3 --workers 0

The yardstick is ImageFolder with RandomResizedCrop, a flip, ToTensor and Normalize in a DataLoader with as many
workers. Both make crops of 224 pixels from the same files, which lie in a temporary folder and were read once before.
They take turns, an epoch each; the workers of the one wait while the other is measured.
"""

from __future__ import annotations

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import PIL
import torch
import torchvision
import tyro
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.data.sources import open_source

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    images: int = 512
    width: int = 500
    height: int = 375
    size: int = 224
    batch: int = 64
    workers: int = 2
    rounds: int = 9
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="loader_") as folder:
        root = Path(folder)
        draw(root / "train", settings)
        epochs = {"stillbit": ours(root, settings), "torchvision": theirs(root, settings)}
        rates: dict[str, list[float]] = {name: [] for name in epochs}
        for turn in range(settings.rounds + 1):
            for name, epoch in epochs.items():
                rate = timed(epoch, turn)
                if turn:  # the first starts workers and reads the files into memory
                    rates[name].append(rate)
    ratios = sorted(a / b for a, b in zip(rates["stillbit"], rates["torchvision"], strict=True))
    medians = {name: statistics.median(each) for name, each in rates.items()}
    result = {
        "date": str(date.today()),
        "hardware": hardware(),
        "settings": {k: v for k, v in asdict(settings).items() if k != "output"},
        "images_per_second": medians,
        "ratio": {"lowest": ratios[0], "median": statistics.median(ratios), "highest": ratios[-1]},
        "rounds": rates,
    }
    print(page(result))
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        (settings.output / "loader.json").write_text(json.dumps(result, indent=1) + "\n")
        (settings.output / "loader.md").write_text(page(result))


def draw(root: Path, settings: Settings) -> None:
    """JPEGs with the detail of photographs: noise in octaves, each half as strong as the one before."""
    generator = np.random.default_rng(0)
    shape = (settings.width, settings.height)
    for number in range(settings.images):
        total = np.zeros((settings.height, settings.width, 3))
        for octave in range(2, 9):
            side = 2**octave
            noise = Image.fromarray(generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
            total += (np.asarray(noise.resize(shape, Image.Resampling.BICUBIC)) - 127.5) / 1.6**octave
        pixels = np.clip(128 + 60 * total / total.std(), 0, 255).astype(np.uint8)
        path = root / f"class {number % 8}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def ours(root: Path, settings: Settings) -> Callable[[int], int]:
    """An epoch of this library; how many images it had."""
    data = DataSettings(data_dir=root, batch_size=settings.batch, workers=settings.workers)
    look = Look((settings.size, settings.size), 3, MEAN, STD)
    loader = Loader(open_source(data, "train"), look, data, AugmentSettings(train_interpolation="bilinear"))

    def epoch(number: int) -> int:
        return sum(len(batch.images) for batch in loader.epoch(number))

    return epoch


def theirs(root: Path, settings: Settings) -> Callable[[int], int]:
    """An epoch of torchvision; how many images it had."""
    steps = [
        transforms.RandomResizedCrop(settings.size),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ]
    images = ImageFolder(str(root / "train"), transforms.Compose(steps))
    loader = DataLoader(
        images,
        settings.batch,
        shuffle=True,
        drop_last=True,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )

    def epoch(number: int) -> int:
        return sum(len(batch) for batch, _ in loader)

    return epoch


def timed(epoch: Callable[[int], int], number: int) -> float:
    """Images a second of one epoch."""
    began = time.perf_counter()
    count = epoch(number)
    return count / (time.perf_counter() - began)


def hardware() -> str:
    """The machine in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    rows = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    model = names[0] if names else platform.processor()
    cores = f"{len(names)} cores, " if names else ""
    return (
        f"{model}, {cores}torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}, "
        f"Python {platform.python_version()}"
    )


def page(result: dict[str, object]) -> str:
    """The result as Markdown."""
    rates, ratio = result["images_per_second"], result["ratio"]
    assert isinstance(rates, dict) and isinstance(ratio, dict)
    return (
        f"# The loader against torchvision's\n\n{result['date']}. {result['hardware']}.\n"
        f"Settings: `{result['settings']}`. Made by `python benchmarks/loader.py`.\n\n"
        "| images a second | stillbit | torchvision | ratio, median [lowest-highest] |\n|---|---|---|---|\n"
        f"| JPEG folder, random crops, flips | {rates['stillbit']:.0f} | {rates['torchvision']:.0f} "
        f"| {ratio['median']:.2f} [{ratio['lowest']:.2f}-{ratio['highest']:.2f}] |\n"
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
