"""Recipes about texts that are performed in a second, and folders of transformers to be teachers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from stillbit.data.settings import DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.data.wordpiece import Pieces, write_pieces
from stillbit.methods import RECIPES
from stillbit.methods.recipe import Recipe
from stillbit.models import encoders
from stillbit.train.settings import OptimSettings, OutputSettings, ScheduleSettings
from tests.methods import small

TEXT = TaskSettings(task="entailment", examples=96, val_examples=24, max_length=32, vocabulary=300)
"""Three steps an epoch."""


def recipe(method: str, root: Path, **settings: Any) -> Recipe:
    """A small task, one epoch; ``settings`` replace choices of groups."""
    made = RECIPES[method]()
    quant = None if made.quant is None else replace(made.quant, calibration_images=32)
    made = replace(
        made,
        quant=quant,
        model=replace(made.model, model="bert_pico"),
        text=TEXT,
        data=DataSettings(batch_size=32, workers=0),
        optim=OptimSettings(lr=1e-3),
        schedule=ScheduleSettings(epochs=1, warmup_epochs=0),
        output=OutputSettings(output=root, experiment="run"),
    )
    return small.change(made, **settings)


def folder(path: Path, pieces: Pieces, labels: tuple[str, ...] | None, config: Any = None) -> Path:
    """A model as transformers saves it, and its tokenizer beside it."""
    held = encoders.config_of("bert_pico", pieces.rows) if config is None else config
    model = encoders.build(encoders.answering(held, 1 if labels is None else len(labels), labels))
    model.save_pretrained(path)
    write_pieces(pieces, path, 512)
    return path
