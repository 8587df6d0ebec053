"""The folder of a study: what lies where, who works in it, and what becomes of cells that are of another recipe now."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from glob import escape
from pathlib import Path
from typing import final

from stillbit.study.jobs import Job
from stillbit.study.standing import Standing, load, store

PATIENCE = 10.0
"""Seconds in which the trainings of a study that was killed save and end."""


@final
class Folder:
    """Where a study keeps everything."""

    def __init__(self, path: Path) -> None:
        """Nothing is written yet."""
        self.path = path
        self.csv = path / "runs.csv"
        self.figures = path / "figures"

    def of(self, key: str) -> Path:
        """What a job makes."""
        return self.path / key

    def standing_file(self, key: str) -> Path:
        """How far it is."""
        return self.path / "standings" / f"{key}.json"

    def log(self, key: str) -> Path:
        """All that it said."""
        return self.path / "standings" / f"{key}.log"

    def standing(self, job: Job) -> Standing:
        """How far a job is. What another recipe left does not count, nor what somebody has removed since."""
        held = load(self.standing_file(job.key))
        if held is None or held.hash != job.hash or (held.status == "done" and not self.of(job.key).exists()):
            return Standing(hash=job.hash)
        return held

    def keep(self, job: Job, standing: Standing) -> None:
        """Write down how far it is."""
        store(standing, self.standing_file(job.key))

    def ready(self, job: Job) -> None:
        """Make room for a job: what is there of another recipe goes aside, and what is aside and fits comes back."""
        held = load(self.standing_file(job.key))
        if held is not None and held.hash == job.hash:
            return
        if held is not None:
            self._move(job.key, self._aside(job.key, held.hash))
        back = self._aside(job.key, job.hash)
        if (self.path / "standings" / f"{back}.json").is_file():
            self._move(back, job.key)
        else:
            self.keep(job, Standing(hash=job.hash))

    def _aside(self, key: str, hash: str) -> str:
        return f"aside/{key}-{hash[:12]}"

    def _move(self, key: str, to: str) -> None:
        """The folder, what lies beside the standing (the log, what a judge said), and the standing last.

        So a move that was interrupted is done again.
        """
        standing, target = self.standing_file(key), self.standing_file(to)
        beside = [path for path in standing.parent.glob(f"{escape(standing.stem)}.*") if path != standing]
        pairs = [(self.of(key), self.of(to))]
        pairs += [(path, target.with_name(target.stem + path.name.removeprefix(standing.stem))) for path in beside]
        for source, place in (*pairs, (standing, target)):
            if source.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                source.rename(place)

    @contextmanager
    def alone(self, patience: float = PATIENCE) -> Iterator[int]:
        """Keep other studies out. Trainings inherit the file of this number, so the lock holds until the last ended."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise ValueError(f"{self.path} cannot be written to ({error.strerror}): choose another --output") from None
        with lock:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() >= until:
                        raise ValueError(
                            f"another study works in {self.path}, or one that was killed still saves: wait for it, or "
                            "choose another --output"
                        ) from None
                    time.sleep(0.1)
            yield lock.fileno()

    def settle(self, job: Job) -> Standing:
        """How far a job is now that nobody works on it: begun is what was killed."""
        held = self.standing(job)
        if held.status == "begun":
            held = replace(held, status="stopped")
            self.keep(job, held)
        return held
