"""What it costs to lower every role and every head of DeiT-T in turn, as a multiple of one evaluation.

    python benchmarks/sensitivity.py                         11 roles and 36 heads, 64 images, one thread
    python benchmarks/sensitivity.py --images 16 --rounds 1 --no-float-products

One evaluation is `stillbit.train.evaluate.scored` of the 8-bit model on the same images. It is measured with the
batches that `stillbit analyze` reads (64 images), and with batches as small as those in which the sweep lets images
pass (8), since a CPU is faster with numbers that stay in its caches: the second is the harder yardstick. Seconds are
those of the processor, so that others on the machine do not count; wall times stand beside them. The sweep takes turns
with the evaluations. Weights are random: what is computed does not depend on them.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from unittest.mock import patch

import timm
import torch
import tyro
from torch import nn

from stillbit.analysis import integer
from stillbit.analysis.groups import Anatomy, By
from stillbit.analysis.inquiry import Inquiry
from stillbit.analysis.proxy import proxies
from stillbit.analysis.sweep import Sweep
from stillbit.analysis.switches import calibrated, join
from stillbit.data.batch import Batch
from stillbit.train.evaluate import scored


@dataclass(frozen=True)
class Settings:
    """What to measure."""

    model: str = "deit_tiny_patch16_224"
    bits: str = "w2a2"
    by: tuple[By, ...] = ("role", "head")
    images: int = 64
    batch: int = 64
    rounds: int = 3
    threads: int = 1
    float_products: bool = True
    """Also sweep without products of integers, once."""
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Measure, print, and write."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(0)
    model = timm.create_model(settings.model).eval()
    size, classes = model.pretrained_cfg["input_size"], model.num_classes
    whole = Batch(torch.randn(settings.images, *size), torch.arange(settings.images) % classes, torch.arange(0))
    asked = Inquiry(subject=settings.model, source="random weights", bits=settings.bits, by=settings.by)
    given = cut(whole, settings.batch)
    small = list(asked.chunks(given))
    seen = asked.first(small)
    quantized = calibrated(model, asked.plans()[1], seen)
    steps: dict[str, Callable[[], object]] = {
        "evaluation": lambda: one(quantized, given),
        "evaluation in small batches": lambda: one(quantized, small),
        "float evaluation": lambda: one(model, given),
        "float evaluation in small batches": lambda: one(model, small),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    times |= {name: [] for name in ("calibration", "proxy", "sweep", "sweep, products in float32")}
    groups = 0
    for turn in range(settings.rounds):
        for name, step in steps.items():
            times[name].append(timed(step))
        groups = analyse(model, asked, small, times, integers=True)
        if turn == 0 and settings.float_products:
            analyse(model, asked, small, times, integers=False)
    report(settings, groups, {name: found for name, found in times.items() if found})


def cut(whole: Batch, size: int) -> list[Batch]:
    """The images, so many at a time."""
    order = torch.arange(len(whole.targets))
    return [Batch(whole.images[part], whole.targets[part], part) for part in order.split(size)]


def one(model: nn.Module, batches: list[Batch]) -> dict[str, float]:
    """One evaluation."""
    return scored(model, batches, device=torch.device("cpu"))


def analyse(
    model: nn.Module,
    asked: Inquiry,
    chunks: list[Batch],
    times: dict[str, list[tuple[float, float]]],
    *,
    integers: bool,
) -> int:
    """What `stillbit.analysis.sensitivity.compute` does, step by step; how many groups there were."""
    with patch.object(integer, "available", integer.available if integers else lambda _: False):
        seen = asked.first(chunks)
        began = clocks()
        low, high = (calibrated(model, plan, seen) for plan in asked.plans())
        anatomy = Anatomy(model, high)
        groups = anatomy.groups(asked.by)
        switched = join(low, high)
        ready = clocks()
        proxies(switched, seen, groups)
        guessed = clocks()
        Sweep(switched, groups, asked.question, anatomy.ends()).measure(chunks)
        ended = clocks()
    if integers:
        times["calibration"].append(between(began, ready))
        times["proxy"].append(between(ready, guessed))
    times["sweep" if integers else "sweep, products in float32"].append(between(guessed, ended))
    return len(groups)


def clocks() -> tuple[float, float]:
    """Seconds of the processor, and of the wall."""
    return time.process_time(), time.perf_counter()


def between(began: tuple[float, float], ended: tuple[float, float]) -> tuple[float, float]:
    """What has passed on both clocks."""
    return ended[0] - began[0], ended[1] - began[1]


def timed(step: Callable[[], object]) -> tuple[float, float]:
    """A step on both clocks."""
    began = clocks()
    step()
    return between(began, clocks())


def report(settings: Settings, groups: int, times: dict[str, list[tuple[float, float]]]) -> None:
    """Print the table, and write it where it shall go."""
    processor, wall = ({name: statistics.median(t[i] for t in found) for name, found in times.items()} for i in (0, 1))
    for seconds in (processor, wall):
        seconds["all"] = seconds["calibration"] + seconds["proxy"] + seconds["sweep"]
    yardsticks = ("evaluation", "evaluation in small batches", "float evaluation", "float evaluation in small batches")
    multiples = {
        name: [processor[name] / processor[yardstick] for yardstick in yardsticks]
        for name in processor
        if name not in yardsticks
    }
    about = {"date": str(date.today()), "hardware": hardware(settings), "settings": shown(settings), "groups": groups}
    lines = [
        f"# Sensitivity of {settings.model}, in evaluations\n\n{about['date']}. {about['hardware']}.\n"
        f"Settings: `{about['settings']}`. Made by `python benchmarks/sensitivity.py`.\n\n"
        f"{groups} groups, {settings.images} images. Columns are multiples of one evaluation on these images, of the\n"
        "8-bit model and of the float one, in batches as they are read, and of 8. Medians of processor time.\n"
        "\n| | seconds (wall) | 8-bit | 8-bit, small batches | float | float, small batches |\n"
        f"{'|---' * 6}|\n"
    ]
    for name, seconds in processor.items():
        cells = [f"{multiple:.1f}x" for multiple in multiples.get(name, [])] or [""] * 4
        lines.append(f"| {name} | {seconds:.1f} ({wall[name]:.1f}) | " + " | ".join(cells) + " |\n")
    print("".join(lines))
    if settings.output is not None:
        settings.output.mkdir(parents=True, exist_ok=True)
        held = {**about, "processor_s": processor, "wall_s": wall, "multiples": multiples, "yardsticks": yardsticks}
        (settings.output / "sensitivity.json").write_text(json.dumps(held, indent=1) + "\n")
        (settings.output / "sensitivity.md").write_text("".join(lines))


def hardware(settings: Settings) -> str:
    """The machine in a line."""
    cpuinfo = Path("/proc/cpuinfo")
    rows = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [row.split(":")[1].strip() for row in rows if row.startswith("model name")]
    return (
        f"{names[0] if names else platform.processor()}, {settings.threads} thread(s), torch {torch.__version__}, "
        f"timm {timm.__version__}, Python {platform.python_version()}"
    )


def shown(settings: Settings) -> dict[str, object]:
    """The settings, as JSON takes them; where the result went does not matter."""
    return {name: value for name, value in asdict(settings).items() if name != "output"}


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
