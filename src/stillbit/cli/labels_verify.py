"""``stillbit labels verify``: is a store what was written, and of these images or texts, and as its teacher says?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillbit.cli.labels_texts import TextOptions
from stillbit.cli.options import parse
from stillbit.data.settings import DataSettings
from stillbit.distill.settings import TeacherSettings

if TYPE_CHECKING:
    from stillbit.data.source import Source
    from stillbit.distill.again import Again
    from stillbit.distill.store import Store


FAR = 0.05
"""A difference of probabilities that other machines and versions do not make: bfloat16 rounds to three digits."""


@dataclass(frozen=True, kw_only=True)
class LabelsVerify:
    """Check a store of labels: every byte; with the data, that it is of these images; with the teacher, its answers."""

    store: tyro.conf.Positional[Path]
    """The folder of the store."""
    texts: TextOptions
    data_dir: Path | None = None
    """The folder with the images or texts that the labels are of."""
    dataset: str = "folder"
    """What is there: folder, fractals, digits, wds (tars), or hfds/NAME (Hugging Face datasets)."""
    train_split: str = "train"
    """The split that has the labels."""
    teacher: tuple[str, ...] = ()
    """Ask again: the teachers as they were named when the store was written."""
    teacher_weights: Path | None = None
    """Weights for a teacher given by timm's name, from a file."""
    sample: int = 4
    """How many batches the teacher is asked about again."""
    device: str = "auto"
    """Where it is asked: cpu, cuda, ...; auto takes a GPU if there is one."""
    torchcompile: bool = False
    """Compile the teacher's blocks, if that was done when the store was written."""

    def __post_init__(self) -> None:
        """Refuse what would be ignored."""
        if self.sample < 1:
            raise ValueError(f"a sample has at least one batch, got {self.sample}: --sample 4")
        if self.teacher and not self.has_data:
            raise ValueError(
                "the teacher is asked about images or texts: say where they are, --data-dir FOLDER (and --dataset), or "
                "which texts, --task NAME"
            )
        if self.teacher_weights is not None and not self.teacher:
            raise ValueError("--teacher-weights are those of a teacher: name it, --teacher NAME")

    @property
    def has_data(self) -> bool:
        """Whether the images or texts are given too: some data sets need no folder."""
        return bool(self.texts.task) or self.data_dir is not None or self.dataset not in ("folder", "fractals", "wds")


def run(words: Sequence[str]) -> int:
    """A line for each thing that is as it should be; a sentence for the first that is not."""
    asked = parse(LabelsVerify, words, prog="stillbit labels verify")
    from stillbit.distill.store import Store

    console, store = Console(), Store(asked.store)
    columns = TextColumn("reading"), BarColumn(30), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(store))
        store.check(lambda done, of: bar.update(task, completed=done, total=of))
    _say(console, f"bytes: all {store.bytes:,} in {len(store.manifest.shards) + 2:,} files are what was written")
    for line in _images(store, asked) if store.manifest.reading is None else _texts(store, asked):
        _say(console, line)
    return 0


def _images(store: Store, asked: LabelsVerify) -> Iterator[str]:
    from stillbit.data.sources import open_source
    from stillbit.methods.labels import reinfer

    if asked.texts.task:
        raise ValueError(
            f"{store.folder} has labels for {store.manifest.data.kind} and not for texts: leave out --task"
        )
    if not asked.has_data:
        yield "images: not compared; say where they are, --data-dir FOLDER (and --dataset)"
        return
    source = open_source(_data(asked), "train")
    _compare(store, source)
    yield f"images: the same {len(source):,}, in the same order, of the same {len(source.classes):,} classes"
    if not asked.teacher:
        yield _unasked(store)
        return
    again = reinfer(store, source, _teachers(asked), batches=asked.sample)
    yield from _heard(again, "if that image was replaced, put it back or write the labels anew")


def _texts(store: Store, asked: LabelsVerify) -> Iterator[str]:
    from stillbit.distill.text_matches import reading_of, texts_match
    from stillbit.methods.labels import reinfer_texts
    from stillbit.methods.text_labels import open_labelled

    reading, length = reading_of(store), asked.texts.max_length
    if not asked.texts.task and asked.has_data:
        raise ValueError(f"{store.folder} has labels for texts: say which, --task {reading.task}")
    if not asked.texts.task:
        yield f"texts: not compared; say which and where they are, --task {reading.task} (and --data-dir FOLDER)"
        return
    if length not in (None, reading.max_length):
        raise ValueError(f"the teacher read {reading.max_length} pieces at most: leave out --max-length {length}")
    texts = open_labelled(_data(asked), asked.texts.settings())
    texts_match(store, texts)
    yield f"texts: the same {len(texts):,}, in the same order, of the same {store.layout.classes:,} classes"
    if not asked.teacher:
        yield _unasked(store)
        return
    again = reinfer_texts(store, texts, _teachers(asked), batches=asked.sample)
    yield from _heard(again, "write the labels anew")


def _data(asked: LabelsVerify) -> DataSettings:
    return DataSettings(data_dir=asked.data_dir, dataset=asked.dataset, train_split=asked.train_split)


def _compare(store: Store, source: Source) -> None:
    """The list of images, and the true class of each."""
    from stillbit.distill.matches import labels_of, matches

    matches(store, source)
    other = (store.targets() != labels_of(source)).nonzero()[0]
    if len(other):
        raise ValueError(f"{len(other):,} images have another class than when the labels were written, the first is "
                         f"{source.name(int(other[0]))}: put them back, or write the labels anew")  # fmt: skip


def _teachers(asked: LabelsVerify) -> TeacherSettings:
    return TeacherSettings(
        teacher=asked.teacher,
        teacher_weights=asked.teacher_weights,
        device=asked.device,
        torchcompile=asked.torchcompile,
    )


def _unasked(store: Store) -> str:
    names = " and ".join(teacher.name for teacher in store.manifest.teachers)
    return f"teacher: {names} was not asked again; say where it is, --teacher NAME_OR_RUN"


def _heard(again: list[Again], remedy: str) -> Iterator[str]:
    """What the teacher says now."""
    views, same = sum(one.views for one in again), sum(one.identical for one in again)
    worst = max(again, key=lambda one: one.largest)
    if worst.largest > FAR:
        raise ValueError(
            f"the teacher now says something else, the most of {worst.name}: a probability differs by "
            f"{worst.largest:.2g}, which no rounding does; {remedy}"
        )
    if same == views:
        yield f"teacher: says of {views:,} views in {len(again)} batches what it said then, to the bit"
        return
    yield f"teacher: asked again about {views:,} views in {len(again)} batches, {same:,} labels are the same to the bit"
    yield (
        f"teacher: the largest difference of a probability is {worst.largest:.2g}; other machines "
        "and other versions of torch differ by their rounding"
    )


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
