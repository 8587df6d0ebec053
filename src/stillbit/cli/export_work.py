"""What an export works on: the model that a person points at, and the images or texts that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from rich.console import Console

from stillbit.cli import export_texts
from stillbit.cli.proof_seen import looked_at, noise, shown_by
from stillbit.deploy.about import About
from stillbit.deploy.inputs import Given, cut
from stillbit.deploy.proof.proven import Work
from stillbit.deploy.proof.run import Told
from stillbit.deploy.tracing.trace import trace
from stillbit.methods.build import look_of
from stillbit.methods.deployed import Gallery, about_of, gallery
from stillbit.methods.subject import Subject, check_readable, is_quantized, open_subject, reads
from stillbit.methods.target import with_data

if TYPE_CHECKING:
    from stillbit.cli.proving import Proving


Progress = Callable[[str], None]
"""Is told what is going on."""
TRACED = 3
"""Of the images, or texts, that a model is traced on."""


class Prepared(NamedTuple):
    """What is to be written and proven, and what a person has to know of it."""

    work: Work
    notes: list[str]


def opened(target: Path, checkpoint: str) -> Subject:
    """The trained model of a run or of a file, on the CPU."""
    from stillbit.deploy.file.packed import FORMAT
    from stillbit.surgery.summary import summary

    if not target.exists():
        raise ValueError(f"there is no run and no file {target}: give a run, or a file of stillbit.save")
    if target.is_file() and FORMAT.encode() in target.read_bytes()[:4096]:
        raise ValueError(f"{target} is deployed already: give the run it came from")
    subject = open_subject(str(target), checkpoint=checkpoint, device="cpu")
    check_readable(subject)
    if hasattr(subject.model, "_stillbit") and not summary(subject.model).calibrated:
        raise ValueError(
            f"{target} has activations without start values: stillbit.calibrate(model, batches), and train"
        )
    return subject


def work_of(subject: Subject, asked: Proving, progress: Progress, length: int | None = None) -> Prepared:
    """The program of ``subject``, and images or texts as ``asked`` wants them; ``length`` is that of texts."""
    if reads(subject):
        about, given, told, notes = export_texts.material(subject, asked, length)
    else:
        if length is not None:
            raise ValueError(f"--length is for texts, and {subject.name} sees images: leave it out")
        about, given, told = _material(subject, asked)
        notes = []
    progress("tracing")
    example = tuple(map(torch.from_numpy, cut(given, 0, TRACED)))
    named = None if about.text is None else dict(zip(about.text.inputs, example, strict=True))
    program = trace(subject.model, example[0] if named is None else named)
    told = strict(told, asked, subject.name, progress)
    work = Work(program=program, about=about, model=subject.model, images=given, told=told)
    return Prepared(work, [*_notes(subject, about), *notes])


def _material(subject: Subject, asked: Proving) -> tuple[About, Given, Told]:
    if asked.noise:
        about = about_of(subject, _classes(subject))
        return about, noise(about, asked.samples), Told(seen="pictures of noise")
    shown = _gallery(subject, asked)
    return about_of(subject, shown.source.classes), *looked_at(shown, asked)


def _classes(subject: Subject) -> tuple[str, ...]:
    """Names from the data that the model was trained for, if they are still there; noise has none."""
    try:
        return gallery(
            look_of(subject.recipe, subject.model), subject.recipe.data, _outputs(subject), ""
        ).source.classes
    except ValueError:
        return ()


def _notes(subject: Subject, about: About) -> list[str]:
    """What a person may not know of the model."""
    notes = []
    if not about.classes and about.text is None:
        notes.append("note: nobody here knows the names of its classes, so the file says numbers")
    if subject.folder is not None and not (subject.folder / "result.json").is_file():
        which = "last" if Path(subject.about).stem == "last" else "best"
        notes.append(f"note: this run has not ended: its {which} checkpoint so far was taken")
    if not is_quantized(subject):
        notes.append("note: it is a float model: nothing in these files is an integer")
    return notes


def strict(told: Told, asked: Proving, subject: str, progress: Progress) -> Told:
    """With the tolerances that were asked for."""
    return replace(
        told,
        subject=subject,
        tolerance=asked.tolerance,
        agreement=asked.agreement,
        progress=progress,
    )


def _gallery(subject: Subject, asked: Proving) -> Gallery:
    recipe = with_data(subject.recipe, data_dir=asked.data_dir, dataset=asked.dataset, val_split=asked.val_split)
    return shown_by(lambda: gallery(look_of(recipe, subject.model), recipe.data, _outputs(subject), subject.name))


@contextmanager
def telling(console: Console) -> Iterator[Progress]:
    """Says on a terminal what is going on, in one line that goes away."""
    with console.status("reading") as status:
        yield lambda words: status.update(words)


def _outputs(subject: Subject) -> int:
    return int(getattr(subject.model, "num_classes", 0) or 10**9)
