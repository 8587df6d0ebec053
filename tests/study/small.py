"""Small studies, and what their words come to without the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stillbit.study.folder import Folder
from stillbit.study.jobs import Job, Kind, jobs
from stillbit.study.perform import Crew, Event, Outcome, Work
from stillbit.study.read import study
from stillbit.study.rows import Row
from stillbit.study.settings import Study
from stillbit.study.standing import Standing

HERE = Path(__file__).parent
PROGRAM = (sys.executable, "-S", "-E", str(HERE / "worker.py"))
"""Python without what it finds installed begins at once."""
FLAGS = {"--lr": "lr", "--epochs": "epochs", "--model": "model", "--seed": "seed", "--bits": "bits"}


def settings(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
    """Nearly those of a recipe: the last of each flag counts."""
    if kind in ("data", "labels"):
        return {"words": list(words)}
    said = {word: following for word, following in zip(words, [*words[1:], ""], strict=True) if word.startswith("--")}
    if "--nonsense" in said:
        raise ValueError("--nonsense is no option")
    quant = None if words[0] == "fp" else {"bits": said.get("--bits", "w4a4"), "weights_last": "--weights-last" in said}
    return {
        "method": words[0],
        "model": {"model": said.get("--model", "tiny"), "initial_checkpoint": said.get("--initial-checkpoint")},
        "quant": quant,
        "schedule": {"epochs": int(said.get("--epochs", "1"))},
        "machine": {"seed": int(said.get("--seed", "42")), "grad_accum_steps": 1, "device": "cpu"},
        "data": {"batch_size": 8, "workers": 0, "data_dir": said.get("--data-dir")},
        "dynamics": {"track": {"track": "--track" in said}},
        "rest": [*sorted(word for word in said if word not in FLAGS), said.get("--lr", "")],
    }


PLAIN: dict[str, Any] = {
    "seeds": [0, 1],
    "child": "--lr 50",
    "measure": [],
    "cells": [{"models": "tiny", "methods": ["lsq", "statsq"], "bits": ["w4a4", "w2a2"]}],
}


def made(**changes: Any) -> Study:
    """The plain study with some keys changed."""
    return study({**PLAIN, **changes}, "small")


def planned(**changes: Any) -> list[Job]:
    """Its jobs."""
    return jobs(made(**changes), settings)


def work(of: Study, **options: Any) -> Work:
    """All jobs of a study, done by the worker of the tests."""
    return Work(study=of, jobs=jobs(of, settings), program=PROGRAM, looker=PROGRAM, **options)


def done(of: Study, folder: Folder, **options: Any) -> tuple[Outcome, list[tuple[Event, str]]]:
    """How it went, and what was told."""
    told: list[tuple[Event, str]] = []

    def tell(event: Event, job: Job, standing: Standing) -> None:
        told.append((event, job.name))

    with folder.alone() as lock:
        outcome = Crew(work(of, **options), folder, lock, tell).perform()
    return outcome, told


def row(title: str = "lsq", bits: str = "w2a2", seed: int = 0, top1: float | None = 70.0, **more: Any) -> Row:
    """A cell that is done."""
    method, _, switch = title.partition("+")
    known: dict[str, Any] = {"kind": "cell", "model": "tiny", "status": "done", "switch": switch or "plain"}
    known |= {"name": f"{title}-{bits}-{seed}", "method": method, "bits": bits, "seed": seed, "top1": top1}
    return Row(**(known | more))


def seeds(title: str, values: Sequence[float], bits: str = "w2a2", metric: str = "top1") -> list[Row]:
    """A row a seed."""
    return [row(title, bits, seed, **{metric: value}) for seed, value in enumerate(values)]
