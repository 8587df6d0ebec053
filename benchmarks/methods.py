"""Every method beside every other: digits at two bits, the same float start, the same steps, several seeds.

    python benchmarks/methods.py --work /tmp/methods --output benchmarks/results --page docs/methods/compared.md
    python benchmarks/methods.py --work /tmp/try --seeds 0 --epochs 2 --float-epochs 3 --methods lsq ofq

It says that all of them work and what a step of each costs beside LSQ. It does not say which is best on ImageNet: eight
pixels a side are no photograph. Each run is a recipe performed as the command line does; a stopped benchmark goes on
where it was. Two runs side by side, one thread each.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console

from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.methods import RECIPES, labels
from stillbit.methods.perform import perform
from stillbit.methods.recipe import ModelSettings, Recipe
from stillbit.train.settings import MachineSettings, OutputSettings, ScheduleSettings

CROPS = AugmentSettings(scale=(0.7, 1.0), hflip=0.0)
MARKS = "<!-- the table of benchmarks/methods.py -->", "<!-- its end -->"
SHORT = {"freeze": {"freeze_momentum": 0.02}}
"""Published for a hundred thousand steps; in a hundred, a running mean of the last thousand has seen nothing."""


@dataclass(frozen=True)
class Settings:
    """What to train."""

    work: Path
    """A folder for the runs."""
    methods: tuple[str, ...] = tuple(RECIPES)[1:]
    seeds: tuple[int, ...] = (0, 1, 2)
    bits: str = "w2a2"
    model: str = "vit_pico_patch4_32"
    img_size: int = 16
    float_epochs: int = 30
    """A teacher that cannot read teaches nothing, and some methods are their own."""
    epochs: int = 6
    batch_size: int = 64
    lr: float = 1e-3
    views: int = 8
    """Stored crops of an image, for the methods that learn stored labels."""
    jobs: int = 2
    output: Path | None = None
    """A folder: the result goes there as JSON and Markdown."""
    page: Path | None = None
    """A page with the two marks: what stands between them becomes the table."""


def main(settings: Settings) -> None:
    """Train all, print the table."""
    begun = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.jobs, context, torch.set_num_threads, (1,)) as pool:
        cells = [("fp", seed) for seed in settings.seeds]
        cells += [(method, seed) for seed in settings.seeds for method in settings.methods]
        parents, rest = cells[: len(settings.seeds)], cells[len(settings.seeds) :]
        held: dict[tuple[str, int], dict[str, Any]] = {}
        for group in (parents, rest):
            results = pool.map(train, [settings] * len(group), *zip(*group, strict=True))
            for cell, result in zip(group, results, strict=True):
                held[cell] = result
                print(f"{cell[0]:>12} seed {cell[1]}: {result['top1']:.1f} %, {result['seconds']:.1f} s", flush=True)
    text = table(settings, held)
    print(text)
    if settings.output is not None:
        (settings.output / "methods.md").write_text(text)
        rows = [{"method": method, "seed": seed, **result} for (method, seed), result in held.items()]
        about = {
            "settings": {**asdict(settings), "work": None, "output": None, "page": None},
            "date": str(date.today()),
        }
        about |= {"hardware": hardware(settings), "runs": rows}
        (settings.output / "methods.json").write_text(json.dumps(about, indent=1) + "\n")
    if settings.page is not None:
        before, _, rest = settings.page.read_text().partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        settings.page.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}")
    print(f"{time.perf_counter() - begun:.0f} s")


def train(settings: Settings, method: str, seed: int) -> dict[str, Any]:
    """A run, unless it has ended already; the labels of a float one; how it ended."""
    recipe = recipe_of(settings, method, seed)
    folder = recipe.output.output / str(recipe.output.experiment)
    if not (folder / "result.json").is_file():
        perform(recipe, Console(quiet=True))
    if method == "fp":
        write = WriteSettings(
            output=store(settings, seed), crops=settings.views, scale=CROPS.scale, hflip=0.0, precision="fp32"
        )
        asked = TeacherSettings(teacher=(str(folder),), device="cpu")
        labels.write(labels.Asked(teachers=asked, data=recipe.data, write=write), lambda standing: None)
    return result_of(folder)


def recipe_of(settings: Settings, method: str, seed: int) -> Recipe:
    """The recipe of the method; data, steps and optimizer are the same for all."""
    made = RECIPES[method]()
    is_float = made.quant is None
    model = ModelSettings(model=settings.model, img_size=settings.img_size, in_chans=1)
    epochs = settings.float_epochs if is_float else settings.epochs
    schedule = ScheduleSettings(epochs=epochs, min_lr=made.schedule.min_lr, warmup_epochs=1 if is_float else 0)
    recipe = replace(
        made,
        model=model if is_float else replace(model, initial_checkpoint=folder_of(settings, "fp", seed)),
        quant=None if made.quant is None else replace(made.quant, bits=settings.bits),
        data=DataSettings(dataset="digits", batch_size=settings.batch_size, workers=0),
        augment=CROPS,
        schedule=schedule,
        optim=replace(made.optim, opt="adamw", lr=2 * settings.lr if is_float else settings.lr),
        machine=MachineSettings(seed=seed, device="cpu"),
        output=OutputSettings(
            output=settings.work, experiment=f"{method}-seed{seed}", resume="auto", log_interval=1000
        ),
    )
    if made.distill.taught:
        recipe = replace(recipe, distill=replace(made.distill, labels=store(settings, seed)))
    dynamics = recipe.dynamics
    anneal = replace(dynamics.anneal, anneal_epochs=1) if dynamics.anneal.anneal_epochs else dynamics.anneal
    freeze = replace(dynamics.freeze, **SHORT.get(method, {}))
    return replace(recipe, dynamics=replace(dynamics, anneal=anneal, freeze=freeze))


def folder_of(settings: Settings, method: str, seed: int) -> Path:
    """Where a run lies."""
    return settings.work / f"{method}-seed{seed}"


def store(settings: Settings, seed: int) -> Path:
    """Where the labels of a float run lie."""
    return settings.work / f"labels-seed{seed}"


def result_of(folder: Path) -> dict[str, Any]:
    """The accuracy of the last epoch: the best of few flatters. Where weights are quantized at the end, of the end."""
    ended = json.loads((folder / "result.json").read_text())
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["kind"] == "epoch"]
    top1 = ended["top1"] if "top1_with_float_weights" in ended else epochs[-1]["top1"]
    return {"top1": top1, "best": ended["top1"], "seconds": ended["seconds"], "epochs": len(epochs)}


def table(settings: Settings, held: dict[tuple[str, int], dict[str, Any]]) -> str:
    """A row a method."""
    lines = ["| method | top1 | each seed | spread | seconds | beside LSQ |", "|---|---:|---:|---:|---:|---:|"]
    for method in settings.methods:
        mine = [held[method, seed] for seed in settings.seeds]
        scores, seconds = ([result[name] for result in mine] for name in ("top1", "seconds"))
        plain = [held["lsq", seed]["seconds"] for seed in settings.seeds if ("lsq", seed) in held]
        ratios = [one / other for one, other in zip(seconds, plain, strict=False)]
        row = (
            method,
            f"{statistics.mean(scores):.1f} %",
            " ".join(f"{score:.1f}" for score in scores),
            f"{max(scores) - min(scores):.1f}",
            f"{statistics.median(seconds):.1f}",
            f"{statistics.median(ratios):.2f}" if ratios else "-",
        )
        lines.append(f"| {' | '.join(row)} |")
    parents = ", ".join(f"{held['fp', seed]['top1']:.1f}" for seed in settings.seeds)
    about = (
        f"scikit-learn's digits at {settings.img_size} pixels, {settings.model}, {settings.bits.upper()} with 8 bits "
        f"at both ends. Each seed has a float model of its own, from where all begin: {parents} % after "
        f"{settings.float_epochs} epochs. Then {settings.epochs} epochs, {settings.batch_size} images a step, AdamW, "
        f"lr {settings.lr:g}, the weight decay and the lowest rate of the recipe. Top1 is that of the last epoch; the "
        f"spread is largest less smallest. Seconds, evaluation and writing included, are medians. {date.today()}, "
        f"{hardware(settings)['processor']}, one thread a run, {settings.jobs} at a time."
    )
    return "\n".join([*lines, "", about, ""])


def hardware(settings: Settings) -> dict[str, Any]:
    """Where the runs were made."""
    file = folder_of(settings, "fp", settings.seeds[0]) / "environment.json"
    return dict(json.loads(file.read_text())["hardware"])


if __name__ == "__main__":
    main(tyro.cli(Settings))
