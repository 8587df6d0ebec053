"""Stored labels: introduce a teacher, what it is shown and a store to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from stillbit.data.settings import DataSettings
from stillbit.data.source import Source
from stillbit.data.sources import open_source
from stillbit.data.text_settings import TaskSettings
from stillbit.data.text_source import Texts
from stillbit.distill import cost
from stillbit.distill.again import Again, again
from stillbit.distill.labeller import Labeller
from stillbit.distill.manifest import Manifest
from stillbit.distill.panel import Expert, Panel, Precision
from stillbit.distill.seen import Images, Seen
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.distill.shards import check_room
from stillbit.distill.store import Store
from stillbit.distill.text_matches import reading_of, reads_alike
from stillbit.distill.write import Standing, Work, Written, request, write_labels
from stillbit.methods import build
from stillbit.methods.target import Target, open_target
from stillbit.methods.text_labels import check_uncropped, open_labelled, open_read
from stillbit.surgery.compile import compile_blocks, repeated_blocks
from stillbit.train import distributed, weights
from stillbit.train.stop import Stop, Stopped

Tell = Callable[[Standing], None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """All that a person asks for."""

    teachers: TeacherSettings
    data: DataSettings
    write: WriteSettings
    text: TaskSettings = field(default_factory=TaskSettings)
    """Which texts, if it is about texts."""


class Outcome(NamedTuple):
    """How the writing ended."""

    written: Written | None
    """None if it was stopped."""
    signal: int = 0


class Estimate(NamedTuple):
    """What it would cost."""

    manifest: Manifest
    rate: float
    """Views a second, in this process."""
    parameters: int
    """Of all teachers."""


def write(asked: Asked, tell: Tell) -> Outcome:
    """Write what is missing of a store, and listen to those who want it to stop."""
    share = distributed.share(asked.teachers.device)
    seen, panel, wanted = _prepared(asked)
    stop = Stop()

    def heed(standing: Standing) -> None:
        if stop.asked:
            raise Stopped(stop.signal)
        tell(standing)

    data = asked.data
    # A text is a few numbers that are in memory: to send it from another process takes longer than to take it.
    workers = 0 if asked.text.task else data.workers
    work = Work(workers=workers, corrupt=data.corrupt, rank=share.rank, world=share.world, tell=heed)
    with stop.listening():
        try:
            return Outcome(write_labels(asked.write.output, wanted, seen, panel, work))
        except Stopped as stopped:
            return Outcome(None, stopped.signal)


def estimate(asked: Asked) -> Estimate:
    """Label the first images, and keep nothing."""
    seen, panel, wanted = _prepared(asked)
    check_room(asked.write.output, wanted)
    workers = 0 if asked.text.task else asked.data.workers
    with Labeller(seen, panel, wanted, workers=workers, corrupt=asked.data.corrupt) as labeller:
        rate = cost.rate(labeller)
    parameters = sum(p.numel() for expert in panel.experts for p in expert.model.parameters())
    return Estimate(wanted, rate, parameters)


def reinfer(store: Store, source: Source, teachers: TeacherSettings, *, batches: int = 4) -> list[Again]:
    """Ask the teachers once more for some batches, composed as they were when they were written."""
    return again(store, source, open_panel(teachers, source.classes, _precision(store)), batches)


def open_panel(teachers: TeacherSettings, classes: Sequence[str], precision: Precision) -> Panel:
    """The teachers of a command line, ready to be asked about so many classes."""
    device = distributed.share(teachers.device).device
    experts = [_expert(said, teachers.teacher_weights, len(classes)) for said in teachers.teacher]
    panel = Panel(experts, len(classes), device=device, precision=precision, compiled=teachers.torchcompile)
    _compiled(panel)
    return panel


def reinfer_texts(store: Store, texts: Texts, teachers: TeacherSettings, *, batches: int = 4) -> list[Again]:
    """The same for texts."""
    read = open_read(texts, reading_of(store).max_length, teachers, _precision(store))
    reads_alike(store, read.reading)
    _compiled(read.panel)
    return again(store, read.examples, read.panel, batches)


def _precision(store: Store) -> Precision:
    return "bf16" if store.manifest.precision.startswith("bf16") else "fp32"


def _prepared(asked: Asked) -> tuple[Seen, Panel, Manifest]:
    if asked.text.task:
        return _prepared_texts(asked)
    source = open_source(asked.data, "train")
    panel = open_panel(asked.teachers, source.classes, asked.write.precision)
    assert panel.look is not None, "they are models of images"
    settings = asked.write
    seen = Images(source, panel.look, settings.augment(), count=settings.crops, seed=settings.seed)
    return seen, panel, request(seen, panel, settings)


def _prepared_texts(asked: Asked) -> tuple[Seen, Panel, Manifest]:
    check_uncropped(asked.write, asked.text.task)
    texts = open_labelled(asked.data, asked.text)
    examples, panel, reading = open_read(texts, asked.text.max_length, asked.teachers, asked.write.precision)
    _compiled(panel)
    return examples, panel, request(examples, panel, replace(asked.write, crops=1), reading)


def _expert(said: str, file: Path | None, classes: int) -> Expert:
    """A teacher by what a person calls it. One that a store names has no path in it."""
    named = not Path(said).exists()
    if file is not None and not named:
        raise ValueError(f"{said} has weights of its own: leave out --teacher-weights")
    target = open_target(said, pretrained=file is None, classes=None if file is None else classes)
    if file is not None and weights.load(target.model, file):
        raise ValueError(f"{file} is of a model for other classes than the {classes} of the data: give another")
    outputs = getattr(target.model, "num_classes", classes)
    if outputs != classes:
        raise ValueError(
            f"the teacher {said} tells {outputs} classes apart and the data has {classes}: take one that was trained "
            "on this data, such as a run, or timm's name with --teacher-weights"
        )
    return Expert(name=_name(said, target), model=target.model, look=build.look_of(target.recipe, target.model))


def _name(said: str, target: Target) -> str:
    if not Path(said).exists():
        return said
    return target.recipe.name if Path(said).is_dir() else Path(said).name


def _compiled(panel: Panel) -> None:
    """Compile the teachers of a panel that says they are."""
    for expert in panel.experts if panel.compiled else ():
        model: Any = expert.model
        if repeated_blocks(model):
            compile_blocks(model)
        else:
            model.compile(dynamic=False)
