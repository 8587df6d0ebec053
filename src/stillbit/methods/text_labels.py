"""Stored labels for texts: introduce teachers, the examples of a task and a store to each other."""

from __future__ import annotations

from typing import NamedTuple

from stillbit.data.settings import DataSettings
from stillbit.data.text_settings import TaskSettings
from stillbit.data.text_source import Texts
from stillbit.data.text_sources import open_texts
from stillbit.data.text_tables import longest
from stillbit.data.text_tokens import tokenise
from stillbit.distill.examples import Examples, text_data
from stillbit.distill.manifest import Reading
from stillbit.distill.panel import Panel, Precision
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.methods.readers import Reader, open_reader
from stillbit.methods.recipe import Recipe
from stillbit.methods.texts import text_settings
from stillbit.train import distributed

OF_CROPS = ("crops", "scale", "ratio", "hflip", "vflip", "interpolation", "seed")
"""What labels of images are written with, and what means nothing for texts."""


class Read(NamedTuple):
    """Texts, the teachers that read them, and how."""

    examples: Examples
    panel: Panel
    reading: Reading


def check_uncropped(settings: WriteSettings, task: str) -> None:
    """Refuse what is said of crops."""
    for name in OF_CROPS:
        if getattr(settings, name) != getattr(WriteSettings, name):
            raise ValueError(f"--{name} is about crops of images, and --task {task} is about texts: leave it out")


def open_labelled(data: DataSettings, text: TaskSettings) -> Texts:
    """The texts that get labels, or have them."""
    settings = text_settings(Recipe(method="labels", data=data, text=text))
    texts = open_texts(settings, settings.train_split)
    text_data(texts)  # what has no classes is refused before a teacher is opened
    return texts


def open_read(texts: Texts, asked: int | None, teachers: TeacherSettings, precision: Precision) -> Read:
    """``texts`` in pieces, of which ``asked`` at most (as the teachers were trained, if None), and the teachers."""
    if teachers.teacher_weights is not None:
        raise ValueError("--teacher-weights is for a model of timm's: name a run, or a folder of transformers")
    readers = [open_reader(said, texts.task) for said in teachers.teacher]
    first, most = readers[0], _longest(asked, readers)
    panel = Panel(
        [reader.expert for reader in readers],
        texts.task.outputs,
        device=distributed.share(teachers.device).device,
        precision=precision,
        compiled=teachers.torchcompile,
    )
    examples = Examples(texts, tokenise(texts, first.pieces, first.tables, most))
    return Read(examples, panel, Reading(task=texts.task.name, tokenizer=first.pieces.fingerprint, max_length=most))


def _longest(asked: int | None, readers: list[Reader]) -> int:
    """Pieces of a sequence at most."""
    wanted = {longest(reader.max_length if asked is None else asked, reader.tables) for reader in readers}
    if len(wanted) > 1:
        lengths = " and ".join(map(str, sorted(wanted)))
        raise ValueError(f"the teachers read sequences of {lengths} pieces: say which, --max-length {min(wanted)}")
    return wanted.pop()
