"""What an export works on: the model that a person points at, and the images that prove it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from rich.console import Console

from stillbit.deploy.about import About
from stillbit.deploy.proof.proven import Work
from stillbit.deploy.proof.run import Told
from stillbit.deploy.tracing.trace import trace
from stillbit.methods.build import look_of
from stillbit.methods.deployed import Gallery, about_of, gallery
from stillbit.methods.subject import Subject, is_quantized, open_subject
from stillbit.methods.target import with_data

if TYPE_CHECKING:
    from stillbit.cli.export import Export
    from stillbit.cli.verify import Verify


Progress = Callable[[str], None]
"""Is told what is going on."""


def opened(target: Path, checkpoint: str) -> Subject:
    """The trained model of a run or of a file, on the CPU."""
    from stillbit.deploy.file.packed import FORMAT
    from stillbit.surgery.summary import summary

    if not target.exists():
        raise ValueError(f"there is no run and no file {target}: give a run, or a file of stillbit.save")
    if target.is_file() and FORMAT.encode() in target.read_bytes()[:4096]:
        raise ValueError(f"{target} is deployed already: give the run it came from")
    subject = open_subject(str(target), checkpoint=checkpoint, device="cpu")
    if hasattr(subject.model, "_stillbit") and not summary(subject.model).calibrated:
        raise ValueError(
            f"{target} has activations without start values: stillbit.calibrate(model, batches), and train"
        )
    return subject


def _classes(subject: Subject) -> tuple[str, ...]:
    """Names from the data that the model was trained for, if they are still there; noise has none."""
    try:
        return gallery(
            look_of(subject.recipe, subject.model), subject.recipe.data, _outputs(subject), ""
        ).source.classes
    except ValueError:
        return ()


def notes_of(subject: Subject, about: About) -> list[str]:
    """What a person may not know of the model."""
    notes = []
    if not about.classes:
        notes.append("note: nobody here knows the names of its classes, so the file says numbers")
    if subject.folder is not None and not (subject.folder / "result.json").is_file():
        which = "last" if Path(subject.about).stem == "last" else "best"
        notes.append(f"note: this run has not ended: its {which} checkpoint so far was taken")
    if not is_quantized(subject):
        notes.append("note: it is a float model: nothing in these files is an integer")
    return notes


def work_of(subject: Subject, asked: Export | Verify, progress: Progress) -> Work:
    """The program of ``subject``, and images as ``asked`` wants them."""
    if asked.noise:
        about = about_of(subject, _classes(subject))
        images, told = noise(about, asked.samples), Told(seen="pictures of noise")
    else:
        shown = _gallery(subject, asked)
        about = about_of(subject, shown.source.classes)
        images, told = looked_at(shown, asked)
    progress("tracing")
    program = trace(subject.model, torch.from_numpy(images[:3]))
    told = strict(told, asked, subject.name, progress)
    return Work(program=program, about=about, model=subject.model, images=images, told=told)


def strict(told: Told, asked: Export | Verify, subject: str, progress: Progress) -> Told:
    """With the tolerances that were asked for."""
    return replace(
        told,
        subject=subject,
        tolerance=asked.tolerance,
        agreement=asked.agreement,
        progress=progress,
    )


def _gallery(subject: Subject, asked: Export | Verify) -> Gallery:
    recipe = with_data(subject.recipe, data_dir=asked.data_dir, dataset=asked.dataset, val_split=asked.val_split)
    return shown_by(lambda: gallery(look_of(recipe, subject.model), recipe.data, _outputs(subject), subject.name))


def shown_by(find: Callable[[], Gallery]) -> Gallery:
    """The images, or what to say where there are none."""
    try:
        return find()
    except ValueError as error:
        if "--data-dir FOLDER" not in str(error) or "classes" in str(error):
            raise
        raise ValueError(f"{error}, or prove it on noise, --noise") from None


def looked_at(shown: Gallery, asked: Export | Verify) -> tuple[Any, Told]:
    """The images of which every code is compared, and those of which first classes are."""
    every = [(batch.images.numpy(), batch.targets.numpy()) for batch in shown.batches(asked.samples)]
    images, labels = (np.concatenate(parts) for parts in zip(*every, strict=True))
    more = _more(shown, asked.images) if asked.images > asked.samples else ()
    return images, Told(seen=shown.words, labels=labels, more=more)


def _more(shown: Gallery, images: int) -> Iterator[tuple[Any, Any]]:
    """Read when they are asked for."""
    for batch in shown.batches(images):
        yield batch.images.numpy(), batch.targets.numpy()


def noise(about: About, samples: int) -> Any:
    """Pictures of noise, as the model sees pictures."""
    wanted = about.preprocess
    assert wanted is not None, "a run says how it sees pictures"
    pixels = np.random.default_rng(0).integers(0, 256, (samples, len(wanted.mean), *wanted.size))
    mean, std = (np.asarray(numbers)[:, None, None] for numbers in (wanted.mean, wanted.std))
    return ((pixels / 255 - mean) / std).astype(np.float32)


@contextmanager
def telling(console: Console) -> Iterator[Progress]:
    """Says on a terminal what is going on, in one line that goes away."""
    with console.status("reading") as status:
        yield lambda words: status.update(words)


def _outputs(subject: Subject) -> int:
    return int(getattr(subject.model, "num_classes", 0) or 10**9)
