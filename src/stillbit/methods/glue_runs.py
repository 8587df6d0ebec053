"""Many tasks by one method: a run for each, in one folder, and one table at the end."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stillbit.data.glue_metrics import glue_average
from stillbit.data.text_tasks import find_task
from stillbit.methods.chain import has_ended, links
from stillbit.methods.glue import SETS
from stillbit.methods.perform import perform
from stillbit.methods.recipe import Recipe
from stillbit.train import distributed
from stillbit.train.files import write_json

TABLE = "glue.json"
Metrics = dict[str, float]


@dataclass
class Sat:
    """How a set of tasks went."""

    folder: Path
    metrics: dict[str, Metrics] = field(default_factory=dict)
    """Of every task that was trained to its end: its scores, by name."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why others were not."""
    signal: int = 0
    """What stopped it, if anything did."""

    @property
    def averages(self) -> dict[str, float]:
        """Those that all their tasks are there for."""
        found: dict[str, float] = {}
        for name, (_, average) in AVERAGES.items():
            try:
                found[name] = average(self.metrics)
            except ValueError:  # it lacks a task
                continue
        return found

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``glue.json``."""
        scores = {task: _mean(metrics) for task, metrics in self.metrics.items()}
        return {"tasks": self.metrics, "scores": scores, "failed": self.failed, "averages": self.averages}


def perform_all(word: str, recipes: Mapping[str, Recipe], console: Console) -> Sat:
    """Train every task of a set, whatever happens to the others; what is whole already is left as it is."""
    first = next(iter(recipes.values()))
    named = replace(first, text=replace(first.text, task=word))
    root = first.output.output / (first.output.experiment or named.name)
    _check(first, root)
    leads, sat = distributed.share(first.machine.device).leads, Sat(root)
    console.quiet |= not leads
    for number, (task, recipe) in enumerate(recipes.items(), 1):
        recipe = placed(recipe, task, root)
        console.print(f"[bold]{task}[/], {number} of {len(recipes)}", highlight=False)
        try:
            if first.output.resume is None or not has_ended(links(recipe)[-1]):
                sat.signal = perform(recipe, console).signal
            if sat.signal:
                break
            sat.metrics[task] = metrics_of(root / task, task)
        except (ValueError, OSError, RuntimeError) as error:
            sat.failed[task] = " ".join(str(error).split()) or type(error).__name__
            console.print(f"{task} failed: {sat.failed[task]}", style="red", markup=False, soft_wrap=True)
    if len(sat.failed) == len(recipes):
        raise ValueError(f"not one of the {len(recipes)} tasks could be trained: {sat.failed[next(iter(recipes))]}")
    if leads and root.is_dir():
        write_json(root / TABLE, sat.to_dict())
    return sat


def placed(recipe: Recipe, task: str, root: Path) -> Recipe:
    """The recipe of a task: in its folder, and where a folder of many runs or stores was named, with its own."""
    model, distill = recipe.model, recipe.distill
    begun, teacher, labels = model.initial_checkpoint, distill.teacher, distill.labels
    return replace(
        recipe,
        model=replace(model, initial_checkpoint=None if begun is None else _own(begun, task)),
        distill=replace(
            distill,
            teacher=None if teacher is None else str(_own(Path(teacher), task)),
            labels=None if labels is None else _own(labels, task),
        ),
        output=replace(recipe.output, output=root, experiment=task),
    )


def metrics_of(run: Path, task: str) -> Metrics:
    """The scores of a run's best epoch; those of its average, if it is judged by that."""
    best = json.loads((run / "result.json").read_text(encoding="utf-8"))["epoch"]
    with (run / "summary.csv").open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if int(row["epoch"]) == best)
    judged = "ema_" if "ema_score" in row else ""
    names = [n.removeprefix(judged) for n in row if n.startswith(judged) and n != "ema_score"]
    wanted = [n for n in names if any(n == metric or n.startswith(f"{metric}_") for metric in find_task(task).metrics)]
    return {name: float(row[judged + name]) for name in wanted}


def table_of(sat: Sat) -> Table:
    """A row a task, and a row an average."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading, side in (("task", "left"), ("score", "right"), ("", "left")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for task, metrics in sat.metrics.items():
        several = ", ".join(f"{name.replace('_', ' ')} {score:.2f}" for name, score in metrics.items())
        table.add_row(task, f"{_mean(metrics):.2f}", several)
    for task, why in sat.failed.items():
        table.add_row(task, "failed", why)
    for name, average in sat.averages.items():
        table.add_row("average", f"{average:.2f}", AVERAGES[name][0])
    return table


def _check(recipe: Recipe, root: Path) -> None:
    """Refuse what would fail for every task alike."""
    resume = recipe.output.resume
    if resume not in (None, "auto"):
        raise ValueError(f"--resume {resume} is one run, and this is one for each task: --resume auto finds them")
    if resume is None and root.is_dir() and any(root.iterdir()):
        raise ValueError(f"{root} exists and is not empty: go on with --resume auto, or choose another --experiment")


def _own(folder: Path, task: str) -> Path:
    """The part of a folder that is about a task, where it has one."""
    return folder / task if (folder / task).is_dir() else folder


def _mean(metrics: Metrics) -> float:
    return sum(metrics.values()) / len(metrics)


def _generated(metrics: Mapping[str, Metrics]) -> float:
    if set(metrics) != set(SETS["generated"]):
        raise ValueError("an average is over all of them")
    return sum(map(_mean, metrics.values())) / len(metrics)


def _without_wnli(metrics: Mapping[str, Metrics]) -> dict[str, Metrics]:
    return {task: scores for task, scores in metrics.items() if task != "wnli"}


AVERAGES: dict[str, tuple[str, Callable[[Mapping[str, Metrics]], float]]] = {
    "glue": ("of the nine tasks, WNLI in, MNLI once", glue_average),
    "glue_without_wnli": (
        "of eight, WNLI out, MNLI once",
        lambda metrics: glue_average(_without_wnli(metrics), wnli=False),
    ),
    "glue_accuracy_alone": (
        "of eight, WNLI out, MNLI once; MRPC and QQP by accuracy alone, as BiT counts",
        lambda metrics: glue_average(_without_wnli(metrics), wnli=False, accuracy_alone=True),
    ),
    "generated": ("of the three generated tasks", _generated),
}
