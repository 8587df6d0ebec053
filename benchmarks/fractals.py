"""How well float models tell fractals apart, with several seeds: the parents of every comparison to come.

    python benchmarks/fractals.py --work /tmp/fractals             the tiny ViTs at 32 pixels, SReT-T at 64
    python benchmarks/fractals.py --work /tmp/fractals --cells vit_pico_patch4_32:32:20 --seeds 0 1 2 3 4

Every cell is the command `stillbit train fp`, printed as it runs. A stopped benchmark goes on where it was; what is
done is not done again. Two cells run side by side, one thread each.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import tyro

CLASSES, IMAGES, JUDGED = 10, 400, 100


@dataclass(frozen=True)
class Settings:
    """What to train."""

    work: Path
    """A folder for data and runs."""
    cells: tuple[str, ...] = (
        "vit_pico_patch4_32:32:20",
        "vit_nano_patch4_32:32:10",
        "sret_tiny:64:3",
    )
    """MODEL:PIXELS:EPOCHS"""
    seeds: tuple[int, ...] = (0, 1)
    jobs: int = 2
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""


def main(settings: Settings) -> None:
    """Train all cells, print the table."""
    cells = [tuple(cell.split(":")) for cell in settings.cells]
    for pixels in sorted({pixels for _, pixels, _ in cells}):
        counts = ["--classes", CLASSES, "--images", IMAGES, "--val-images", JUDGED, "--size", pixels]
        stillbit("data", "fractals", "--output", settings.work / f"fractals{pixels}", *counts)
    todo = [(*cell, seed) for cell in cells for seed in settings.seeds]
    with ThreadPoolExecutor(settings.jobs) as pool:
        results = list(pool.map(lambda one: train(settings, *one), todo))
    lines = ["| model | pixels | parameters | epochs | seeds | top1 | seconds a run |", "|---|---|---|---|---|---|---|"]
    for model, pixels, epochs in cells:
        mine = [r for (name, size, _, _), r in zip(todo, results, strict=True) if (name, size) == (model, pixels)]
        scores = [result["top1"] for result in mine]
        spread = f" [{min(scores):.1f}-{max(scores):.1f}]"
        millions = f"{mine[0]['parameters'] / 1e6:.2f} M"
        row = (model, pixels, millions, epochs, len(scores), f"{statistics.mean(scores):.1f} %{spread}")
        lines.append(f"| {' | '.join(map(str, row))} | {statistics.median(r['seconds'] for r in mine):.0f} |")
    about = (
        f"{CLASSES} classes, {IMAGES} + {JUDGED} images each, AdamW, lr 2e-3 (SReT 1e-3), batch 64, {date.today()}, "
    )
    about += f"{mine[0]['hardware']['processor']}, one thread a run, {settings.jobs} at a time"
    print("\n".join([*lines, "", about]))
    if settings.output is not None:
        (settings.output / "fractals.md").write_text("\n".join([*lines, "", about, ""]))
        held = [{"cell": cell, **result} for cell, result in zip(todo, results, strict=True)]
        (settings.output / "fractals.json").write_text(json.dumps(held, indent=1) + "\n")


def train(settings: Settings, model: str, pixels: str, epochs: str, seed: int) -> dict:
    """One cell; its result and where it was made."""
    run = settings.work / f"{model}-{pixels}-{epochs}-seed{seed}"
    data = ["--data-dir", settings.work / f"fractals{pixels}", "--workers", 1, "--batch-size", 64, "--scale", 0.35, 1]
    rate = 1e-3 if model.startswith("sret") else 2e-3
    size = ["--img-size", pixels] if model.startswith("sret") else []
    where = ["--output", settings.work, "--experiment", run.name, "--resume", "auto", "--log-interval", 1000]
    much = ["--epochs", epochs, "--lr", rate, "--warmup-epochs", 1, "--seed", seed]
    stillbit("train", "fp", "--model", model, *size, *data, *much, *where)
    hardware = json.loads((run / "environment.json").read_text())["hardware"]
    return {**json.loads((run / "result.json").read_text()), "hardware": hardware}


def stillbit(*words: object) -> None:
    """A command, shown as it runs."""
    said = [str(word) for word in words]
    print("stillbit", *said, flush=True)
    command = [sys.executable, "-m", "stillbit.cli", *said]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    main(tyro.cli(Settings))
