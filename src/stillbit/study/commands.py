"""What has to be called for a job, one process after the other: make it, then look at it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stillbit.study.folder import Folder
from stillbit.study.jobs import COMMANDS, Job
from stillbit.study.rows import width
from stillbit.study.settings import Measure, Words

JUDGED = ("latent", "last")
"""Looks that the judge takes: at the latent weights, and at the last checkpoint where a log does not tell."""


class Look(NamedTuple):
    """Something to find out about a run."""

    what: str
    words: Words
    """After ``stillbit``."""
    output: Path | None
    """A file for what it prints, if that is the answer."""


class Command(NamedTuple):
    """A process: it makes the job, or it looks at what was made."""

    words: Words
    """After the program."""
    looks: tuple[str, ...] = ()
    """What it finds out; empty if it makes the job."""
    answers: Path | None = None
    """Where it says which looks gave nothing, and why."""


def commands(job: Job, folder: Folder, device: str, measure: tuple[Measure, ...], *, made: bool) -> list[Command]:
    """What is still to be done; ``made`` is whether the job itself is."""
    found = [] if made else [Command(_making(job, folder, device))]
    looks = looks_of(job, folder, device, measure, made=made)
    if looks:
        answers = folder.log(job.key).with_suffix(".answers.json")
        said = [{**look._asdict(), "output": None if look.output is None else str(look.output)} for look in looks]
        found.append(Command((str(answers), json.dumps(said)), tuple(look.what for look in looks), answers))
    return found


def looks_of(job: Job, folder: Folder, device: str, measure: tuple[Measure, ...], *, made: bool) -> list[Look]:
    """What has to be found out: all of it where the job is about to be made, else what nobody has looked at since."""
    if job.kind not in ("parents", "runs"):
        return []
    last, found = folder.of(job.key) / "last.pt", []
    for what in measured_by(job, measure):
        path = record(job, folder, what)
        if not (made and path.is_file() and _newer(path, last)):
            found.append(_look(job, folder, device, what, path))
    return found


def measured_by(job: Job, measure: tuple[Measure, ...]) -> Iterator[str]:
    """What can be measured of a run, of what was asked for."""
    quant, tracked = job.settings["quant"], job.settings["dynamics"]["track"]["track"]
    narrow = quant is not None and width(job.bits)[0] <= 4
    possible = {
        "cost": True,
        "variation": True,
        "oscillation": bool(tracked) and narrow,
        "error": quant is not None,
        "latent": quant is not None,
    }
    yield from (what for what in measure if possible[what])
    if quant is not None and quant["weights_last"]:
        yield "last"  # its log is about float weights


def record(job: Job, folder: Folder, what: str) -> Path:
    """Where the answer to a question about a run lies."""
    if what in JUDGED:
        return folder.log(job.key).with_suffix(f".{what}.json")
    return folder.of(job.key) / "analysis" / f"{what}.json"


def _making(job: Job, folder: Folder, device: str) -> Words:
    made = folder.of(job.key)
    needs = dict(job.needs)
    words = tuple(str(folder.of(needs[word[1:]])) if word.startswith("@") else word for word in job.words)
    on = ("--device", device)
    if job.kind == "data":
        return (*COMMANDS["data"], "--output", str(made), *words)
    if job.kind == "labels":
        return (*COMMANDS["labels"], "--output", str(made), *words, *on)
    where = ("--output", str(made.parent), "--experiment", made.name, "--resume", "auto")
    return ("train", *words, *where, *on)


def _look(job: Job, folder: Folder, device: str, what: str, path: Path) -> Look:
    run, on = str(folder.of(job.key)), ("--checkpoint", "last", "--device", device)
    if what in JUDGED:
        workers = ("--workers", str(job.settings["data"]["workers"]))
        latent = ("--latent",) if what == "latent" else ()
        return Look(what, ("evaluate", run, *latent, *on, *workers, "--json"), path)
    more = ("--images", "0") if what == "variation" else ()
    return Look(what, ("analyze", what, run, *more, *on), None)


def _newer(path: Path, than: Path) -> bool:
    return not than.is_file() or path.stat().st_mtime >= than.stat().st_mtime
