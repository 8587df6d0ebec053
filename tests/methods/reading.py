"""Recipes about texts that are performed in a second, and the files of a task of GLUE."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stillbit.data.settings import DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.methods import RECIPES
from stillbit.methods.recipe import ModelSettings, Recipe
from stillbit.train.settings import OptimSettings, OutputSettings, ScheduleSettings
from tests.methods import small

WORDS = ("a", "dog", "cat", "sees", "the", "red", "house", "and", "runs", "home", "now", "far")


def recipe(method: str, root: Path, **settings: Any) -> Recipe:
    """Two epochs of five steps on generated sentences; ``settings`` replace choices of whole groups."""
    made = RECIPES[method]()
    quant = None if made.quant is None else replace(made.quant, bits="w2a2", calibration_images=64)
    made = replace(
        made,
        quant=quant,
        model=ModelSettings(model="bert_pico"),
        data=DataSettings(batch_size=32, workers=0),
        text=TaskSettings(task="entailment", examples=180, val_examples=60, vocabulary=120),
        optim=OptimSettings(lr=1e-3),
        schedule=ScheduleSettings(epochs=2, warmup_epochs=0),
        output=OutputSettings(output=root, experiment="run", log_interval=2),
    )
    return small.change(made, **settings)


def files(task: str, root: Path, *, count: int = 40) -> Path:
    """The folder of a task of GLUE, in the files that GLUE gives out."""
    heads = {
        "mnli": ("sentence1\tsentence2\tgold_label", ("dev_matched", "dev_mismatched")),
        "stsb": ("sentence1\tsentence2\tscore", ("dev",)),
        "sst2": ("sentence\tlabel", ("dev",)),
    }
    head, vals = heads[task]
    root.mkdir(parents=True, exist_ok=True)
    for split in ("train", *vals):
        lines = [head, *(_line(task, number + 7 * len(split)) for number in range(count))]
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def _line(task: str, number: int) -> str:
    first, second = (" ".join(WORDS[(number * k + j) % len(WORDS)] for j in range(3 + number % 4)) for k in (1, 5))
    if task == "sst2":
        return f"{first}\t{number % 2}"
    label = ("entailment", "neutral", "contradiction")[number % 3] if task == "mnli" else f"{number % 6}.{number % 10}"
    return f"{first}\t{second}\t{label}"
