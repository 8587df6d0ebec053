"""What a verification compares: the engines of a file with the program that it ought to hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from stillbit.cli.export_work import Progress, opened, strict, telling, work_of
from stillbit.cli.proof_seen import Seen, looked_at, noise, shown_by
from stillbit.data.settings import DataSettings
from stillbit.deploy.about import About
from stillbit.deploy.engine import PACKED, Engine, kind_of, open_engine
from stillbit.deploy.file.packed import FORMAT, read
from stillbit.deploy.inputs import Given, Wanted
from stillbit.deploy.program import Program
from stillbit.deploy.proof.content import first_apart
from stillbit.deploy.proof.noise import noise as chance
from stillbit.deploy.proof.outcome import Proof
from stillbit.deploy.proof.run import Told, prove
from stillbit.methods.deployed import gallery, look_for
from stillbit.methods.deployed_texts import check_same_pieces, library_of_file
from stillbit.methods.subject import Subject, reads

if TYPE_CHECKING:
    from stillbit.cli.verify import Verify


@dataclass(frozen=True)
class _File:
    """What is to be verified."""

    engines: dict[str, Engine]
    about: About
    program: Program | None
    """A graph has none."""


def verified(asked: Verify, console: Console) -> Proof:
    """The proof of a file, whether it holds or not."""
    with telling(console) as progress:
        held = _opened(asked.file)
        against = asked.against or _beside(asked.file)
        if against is None or _is_packed(against):
            return _alone(asked, held, held.program if against is None else read(against).program, progress)
        subject = opened(against, asked.checkpoint)
        length = _length(asked.file, held.about, subject)
        work = work_of(subject, asked, progress, length).work
        if held.program is not None and (apart := first_apart(held.program, work.program)) is not None:
            raise ValueError(
                f"{asked.file} is not what {against} trained, first in {apart}: export it again, or name another run"
            )
        told = replace(work.told, subject=f"{asked.file} against {against}")
        return prove(work.model, work.program, held.engines, work.images, told)


def _opened(path: Path) -> _File:
    if kind_of(path) != PACKED:
        engine, about = open_engine(path)
        return _File({engine.name: engine}, about, None)
    fast, about = open_engine(path)
    exact, _ = open_engine(path, "exact")
    return _File({"exact": exact, "integer": fast}, about, read(path).program)


def _beside(path: Path) -> Path | None:
    """The packed file that a graph was written together with."""
    if kind_of(path) == PACKED:
        return None
    found = path.with_name("packed.safetensors")
    if not found.is_file():
        raise ValueError(
            f"{path} is a graph, and there is no packed.safetensors beside it to compare with: name the run it came "
            "from, --against RUN"
        )
    return found


def _is_packed(path: Path) -> bool:
    return path.is_file() and FORMAT.encode() in path.read_bytes()[:4096]


def _length(path: Path, about: About, subject: Subject) -> int | None:
    """Of the texts that the file reads; refused where it and the run do not read the same."""
    text = about.text
    if (text is not None) != reads(subject):
        sees, others = ("texts", "pictures") if text is not None else ("pictures", "texts")
        raise ValueError(f"{path} is for {sees} and {subject.name} for {others}: name the run it came from")
    if text is None:
        return None
    check_same_pieces(subject.recipe, about, path)
    return text.length


def _alone(asked: Verify, held: _File, program: Program | None, progress: Progress) -> Proof:
    """Without the training model."""
    assert program is not None, "a packed file has a program"
    images: Given
    told = Told(seen="pictures of noise" if held.about.text is None else "texts of chance words")
    if not asked.noise:
        images, told = looked_at(shown_by(lambda: _seen(asked, held.about)), asked)
    elif held.about.preprocess is not None:
        images = noise(held.about, asked.samples)
    else:
        pad = 0 if held.about.text is None else held.about.text.pad
        images = chance(Wanted.of(program), asked.samples, pad=pad)
    return prove(None, program, held.engines, images, strict(told, asked, str(asked.file), progress))


def _seen(asked: Verify, about: About) -> Seen:
    """The labelled images, or texts, that are asked for."""
    said: dict[str, Any] = {"data_dir": asked.data_dir, "dataset": asked.dataset, "val_split": asked.val_split}
    if about.text is not None:
        return library_of_file(about, asked.file.parent, **said)
    settings = DataSettings(**{name: value for name, value in said.items() if value is not None})
    look, outputs = look_for(about, str(asked.file)), len(about.classes) or 10**9
    return gallery(look, settings, outputs, str(asked.file))
