"""What a teacher is worth at 2 and 3 bits, and what it costs: true labels, a teacher asked now, and stored labels.

    python benchmarks/distill_effect.py --work /tmp/effect --output benchmarks/results
    python benchmarks/distill_effect.py --work /tmp/try --seeds 0 --epochs 1 --teacher-epochs 2 --images 30

Fractals, a float teacher, a smaller student that begins with float weights of its own, and three ways to go on with
few bits, all with the same number of steps. Every cell is the command that a person would give, printed as it runs. A
stopped benchmark goes on where it was; what is done is not done again. Two cells run side by side, one thread each.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import tyro

WAYS = {
    "labels": "true labels",
    "teacher": "teacher asked now, half of the loss",
    "only teacher": "teacher asked now, all of the loss",
    "stored": "stored labels, 4 crops an image in a batch",
    "stored apart": "stored labels, 1 crop an image in a batch",
}


@dataclass(frozen=True)
class Settings:
    """What to train."""

    work: Path
    """A folder for data and runs."""
    classes: int = 25
    images: int = 300
    """Training images a class."""
    teacher: str = "resnet10t"
    """Convolutions learn fractals faster than attention does."""
    student: str = "vit_pico_patch4_32"
    teacher_epochs: int = 5
    float_epochs: int = 16
    """Of the student, before it gets few bits."""
    epochs: int = 4
    views: int = 12
    """Stored crops of an image."""
    bits: tuple[str, ...] = ("w2a2", "w3a3")
    ways: tuple[str, ...] = ("labels", "teacher", "stored")
    seeds: tuple[int, ...] = (0, 1, 2)
    jobs: int = 2
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Train all cells, print the table."""
    begun = time.perf_counter()
    folder = settings.work
    words = ["--classes", settings.classes, "--images", settings.images, "--val-images", 100]
    stillbit("data", "fractals", "--output", folder / "fractals", *words)
    with ThreadPoolExecutor(settings.jobs) as pool:
        floats = {
            "teacher": (settings.teacher, settings.teacher_epochs, "--lr", 1e-3, "--warmup-epochs", 1),
            "float": (settings.student, settings.float_epochs, "--lr", 2e-3, "--warmup-epochs", 2),
        }
        list(pool.map(lambda one: train(settings, one[0], "fp", *one[1][:2], 0, *one[1][2:]), floats.items()))
        writing = labels(settings)
        cells = [(bits, way, seed) for seed in settings.seeds for bits in settings.bits for way in settings.ways]
        results = list(pool.map(lambda cell: student(settings, *cell), cells))
    held = {cell: result for cell, result in zip(cells, results, strict=True)}
    parents = {name: result_of(folder / name) for name in floats}
    text = table(settings, held, parents, writing)
    print(text)
    if settings.output is not None:
        (settings.output / "distill_effect.md").write_text(text)
        rows = [{"bits": b, "way": w, "seed": s, **result} for (b, w, s), result in held.items()]
        about = {"settings": {**asdict(settings), "work": None, "output": None}, "date": str(date.today())}
        about |= {"parents": parents, "labels": writing, "hardware": hardware(folder), "runs": rows}
        (settings.output / "distill_effect.json").write_text(json.dumps(about, indent=1) + "\n")
    print(f"{time.perf_counter() - begun:.0f} s")


CROPS = ("--scale", 0.35, 1)


def student(settings: Settings, bits: str, way: str, seed: int) -> dict[str, Any]:
    """One cell."""
    taught = {
        "labels": CROPS,
        "teacher": (*CROPS, "--teacher", settings.work / "teacher"),
        "only teacher": (*CROPS, "--teacher", settings.work / "teacher", "--teacher-share", 1),
        "stored": ("--labels", settings.work / "labels"),
        "stored apart": ("--labels", settings.work / "labels", "--crops", 1),
    }[way]
    name = f"{bits}-{way.replace(' ', '-')}-seed{seed}"
    more = ("--bits", bits, "--lr", 1e-3, "--initial-checkpoint", settings.work / "float", *taught)
    return train(settings, name, "lsq", settings.student, settings.epochs, seed, *more)


def train(
    settings: Settings, name: str, method: str, model: str, epochs: int, seed: int, *more: object
) -> dict[str, Any]:
    """A run, unless it has ended already; its result."""
    folder = settings.work / name
    if not (folder / "result.json").is_file():
        data = ("--data-dir", settings.work / "fractals", "--workers", 1, "--batch-size", 64)
        crops = CROPS if method == "fp" else ()
        where = ("--output", settings.work, "--experiment", name, "--resume", "auto", "--log-interval", 1000)
        much = ("--model", model, "--img-size", 32, "--epochs", epochs, "--seed", seed)
        stillbit("train", method, *data, *crops, *much, *more, *where)
    return result_of(folder)


def labels(settings: Settings) -> dict[str, Any]:
    """Write the store, unless it is there; seconds and bytes."""
    folder, told = settings.work / "labels", settings.work / "labels.json"
    if not told.is_file():
        begin = time.perf_counter()
        data = ("--data-dir", settings.work / "fractals", "--workers", 0, "--output", folder, *CROPS)
        stillbit("labels", "write", "--teacher", settings.work / "teacher", *data, "--crops", settings.views)
        seconds = time.perf_counter() - begin
        size = sum(path.stat().st_size for path in folder.iterdir())
        told.write_text(json.dumps({"seconds": seconds, "bytes": size, "views": settings.views}))
    return dict(json.loads(told.read_text()))


def result_of(folder: Path) -> dict[str, Any]:
    """How a run ended, and its last epoch's accuracy: the best one of few epochs flatters."""
    ended = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["kind"] == "epoch"][-1]
    return {"best": ended["top1"], "last": last["top1"], "loss": last["eval_loss"], "seconds": ended["seconds"]}


def table(settings: Settings, held: dict, parents: dict, writing: dict[str, Any]) -> str:
    """A row a way and width."""
    lines = [
        "| student | learns from | top1 after the last epoch | each seed | loss | seconds a run | time to labels |",
        "|---|---|---|---|---|---|---|",
    ]
    for bits in settings.bits:
        for way in settings.ways:
            mine = [held[bits, way, seed] for seed in settings.seeds]
            last = [result["last"] for result in mine]
            ratios = [
                held[bits, way, s]["seconds"] / held[bits, settings.ways[0], s]["seconds"] for s in settings.seeds
            ]
            row = (
                bits.upper(),
                WAYS[way],
                f"{statistics.mean(last):.1f} %",
                " ".join(f"{score:.1f}" for score in last),
                f"{statistics.mean(result['loss'] for result in mine):.3f}",
                f"{statistics.median(result['seconds'] for result in mine):.0f}",
                f"{statistics.median(ratios):.2f}",
            )
            lines.append(f"| {' | '.join(row)} |")
    said = hardware(settings.work)
    about = (
        f"{settings.classes} classes of fractals, {settings.images} + 100 images each, 32 pixels. "
        f"Student {settings.student}, float {parents['float']['last']:.1f} % after {settings.float_epochs} epochs, "
        f"from where all begin; teacher {settings.teacher}, float {parents['teacher']['last']:.1f} % after "
        f"{settings.teacher_epochs}. LSQ, {settings.epochs} epochs, AdamW, lr 1e-3, batch 64. "
        f"The labels: {settings.views} views an image, {writing['bytes'] / 1e6:.1f} MB, written once in "
        f"{writing['seconds']:.0f} s. {date.today()}, {said['processor']}, one thread a run, {settings.jobs} at a time."
    )
    return "\n".join([*lines, "", about, ""])


def hardware(folder: Path) -> dict[str, Any]:
    """Where the runs were made."""
    return dict(json.loads((folder / "float" / "environment.json").read_text())["hardware"])


def stillbit(*words: object) -> None:
    """A command, shown as it runs."""
    said = [str(word) for word in words]
    print("stillbit", *said, flush=True)
    command = [sys.executable, "-m", "stillbit.cli", *said]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main(tyro.cli(Settings))
