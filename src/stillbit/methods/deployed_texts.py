"""How a deployed file reads texts, and the labelled ones that it is proven on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from stillbit.data.picked import fairly
from stillbit.data.text import NAMES
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_source import Texts
from stillbit.data.text_sources import open_texts, splits_of, task_of
from stillbit.data.text_tables import Tables, longest
from stillbit.data.wordpiece import Pieces
from stillbit.deploy.about import About, Reading
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Array, Input
from stillbit.deploy.texts import inputs_of, lengths_of, pieces_of, reading_of
from stillbit.methods import texts
from stillbit.methods.deployed import OF_TEXTS
from stillbit.methods.recipe import Recipe
from stillbit.models import encoders

PORTION = 64
"""Texts at a time."""


class Library(NamedTuple):
    """Labelled texts as a deployed file reads them, and which ones they are."""

    texts: Texts
    pieces: Pieces
    reading: Reading
    words: str
    """Which texts they are, without where they lie on this machine."""

    def portions(self, count: int) -> Iterator[tuple[tuple[Array, ...], Array | None]]:
        """The inputs of so many texts, with their classes, all of them as often as each other; all there are, if fewer.

        What is judged by numbers has no classes.
        """
        picked = self._picked(count)
        for start in range(0, len(picked), PORTION):
            some = picked.some(range(start, min(start + PORTION, len(picked))))
            given = inputs_of(self.reading, self.pieces, some.first, some.second)
            yield given, None if some.task.labels is None else some.targets

    def lengths(self, count: int) -> Array:
        """How many pieces the same texts have before they are cut."""
        picked = self._picked(count)
        return lengths_of(self.pieces, picked.first, picked.second)

    def _picked(self, count: int) -> Texts:
        return self.texts.some(fairly(self.texts.targets.tolist(), count))


def reading_for(recipe: Recipe, length: int | None = None) -> Reading:
    """How the file of a run reads texts: as long as ``length`` says, else as long as those it was trained on may be."""
    tables, pieces = _tables(recipe), texts.pieces_of(recipe)
    if length is not None and length > tables.positions:
        raise ValueError(
            f"the model has {tables.positions} positions, too few for texts of {length} pieces: "
            f"--length {tables.positions} or less"
        )
    inputs = NAMES if tables.types else NAMES[:2]
    task = task_of(texts.text_settings(recipe))
    said = reading_of(pieces, length or trained_length(recipe), inputs, task=task.name, pairs=task.paired)
    return replace(said, config=recipe.model.config or "")


def trained_length(recipe: Recipe) -> int:
    """The most pieces that a text of the training may have."""
    return longest(recipe.text.max_length, _tables(recipe))


def wanted_of(recipe: Recipe, reading: Reading) -> Wanted:
    """What a program of the run takes in, before there is one: enough to make noise."""
    tables = _tables(recipe)
    limits = {"input_ids": tables.pieces, "token_type_ids": tables.types}
    inputs = tuple(Input(name=name, dims=(-1, reading.length), kind="indices") for name in reading.inputs)
    return Wanted(inputs=inputs, limits={name: rows for name, rows in limits.items() if name in reading.inputs})


def class_names(recipe: Recipe) -> tuple[str, ...]:
    """Those of the task; what answers with a number has none."""
    return task_of(texts.text_settings(recipe)).labels or ()


def library_of_run(recipe: Recipe, reading: Reading) -> Library:
    """The texts that a run is judged by."""
    return _library(texts.text_settings(recipe), texts.pieces_of(recipe), reading)


def library_of_file(about: About, home: Path, **data: Any) -> Library:
    """The texts of the task that a file in ``home`` says it is for; ``data`` are choices of data, such as data_dir."""
    reading = about.text
    assert reading is not None, "asked only of a file that reads"
    of_own = reading.task in ("classify", "regress")
    if not reading.task or (of_own and "columns" not in about.facts):
        raise ValueError("the file does not say what it was trained to tell of texts: --against RUN, or --noise")
    known = {name: about.facts[name] for name in OF_TEXTS if name in about.facts}
    said = {name: value for name, value in data.items() if value is not None}
    try:
        if of_own:
            known |= {"columns": tuple(known["columns"]), "class_names": about.classes}
        settings = TextSettings(task=reading.task, **known, **said)
    except TypeError:
        raise ValueError("what the file says of its texts is damaged: export it again") from None
    return _library(settings, pieces_of(reading, home), reading)


def check_same_pieces(recipe: Recipe, about: About, path: Path) -> None:
    """Refuse a file that cuts texts into other pieces than the run does."""
    assert about.text is not None, "asked only of a file that reads"
    if pieces_of(about.text, path.parent).fingerprint != texts.pieces_of(recipe).fingerprint:
        raise ValueError(f"{path} has another tokenizer than the run: export it again, or name another run")


def _library(settings: TextSettings, pieces: Pieces, reading: Reading) -> Library:
    split = splits_of(settings)[0]
    found = open_texts(settings, split)
    named = settings.data_dir is not None and settings.task in ("classify", "regress")
    of_what = settings.data_dir.name if named and settings.data_dir is not None else settings.task
    return Library(found, pieces, reading, f"{split} texts of {of_what}")


def _tables(recipe: Recipe) -> Tables:
    assert recipe.model.config is not None, "the recipe of a run says what it is of"
    return Tables.of(encoders.read_config(recipe.model.config))
