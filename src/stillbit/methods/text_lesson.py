"""Who teaches a model of texts, and whether it read, or reads, the very pieces that the student does."""

from __future__ import annotations

from dataclasses import replace

from stillbit.data.text_sources import task_of
from stillbit.distill.panel import Expert
from stillbit.distill.settings import DistillSettings
from stillbit.distill.store import Store
from stillbit.distill.text_matches import reads_alike, texts_match
from stillbit.methods.readers import open_reader
from stillbit.methods.recipe import Recipe
from stillbit.methods.texts import TextData, reading, text_settings


def text_teacher(recipe: Recipe, said: str, *, numbers: bool = True) -> Expert:
    """A teacher that is asked at every step; ``numbers=False`` downloads no weights."""
    reader = open_reader(said, task_of(text_settings(recipe)), numbers=numbers)
    return replace(reader.expert, name=said)


def check_uncropped(recipe: Recipe) -> None:
    """Refuse choices that stored labels of texts leave no use for."""
    if recipe.distill.crops != DistillSettings.crops:
        raise ValueError(f"--crops is about images, and --task {recipe.text.task} is about texts: leave it out")
    if recipe.loss.smoothing:
        raise ValueError("--smoothing is for true labels, and stored ones are learned as they are: leave it out")


def check_read(recipe: Recipe, data: TextData, store: Store | None, teacher: Expert | None) -> None:
    """Whether the labels are of these texts, or the teacher can read them; and every byte of a store."""
    here = reading(recipe, data)
    if store is not None:
        texts_match(store, data.train)
        reads_alike(store, here)
        store.check()
    reads = None if teacher is None else teacher.reads
    if teacher is None or reads is None:  # a student's own float model reads what the student does
        return
    if reads.tokenizer != here.tokenizer:
        raise ValueError(
            f"the teacher {teacher.name} was trained with another tokenizer, so the pieces of the student mean other "
            f"words to it: give the student the teacher's, --tokenizer {teacher.name}"
        )
    types = data.cut["train"].types is not None
    if reads.types != types:
        told, other = ("student", "teacher") if types else ("teacher", "student")
        raise ValueError(
            f"the {told} is told which of two texts a piece is of and the {other} is not, so they cannot read one "
            f"batch: let the teacher write labels, stillbit labels write --task {here.task}"
        )
