"""How long a job will take, by those that are done; and whether that is in the budget."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median
from typing import final

from stillbit.study.jobs import Job
from stillbit.study.standing import Standing


@final
class Pace:
    """Seconds an epoch of jobs that are done."""

    def __init__(self, done: Iterable[tuple[Job, Standing]]) -> None:
        self.known: dict[tuple[str, ...], list[float]] = {}
        for job, standing in done:
            self.learn(job, standing.seconds)

    def learn(self, job: Job, seconds: float) -> None:
        """Of one more."""
        if job.kind in ("parents", "runs"):
            for key in _keys(job):
                self.known.setdefault(key, []).append(seconds / job.epochs)

    def seconds(self, job: Job) -> float | None:
        """By the jobs most like it; None where nothing is known. What is no training counts as nothing."""
        if job.kind in ("data", "labels"):
            return 0.0
        like = next((self.known[key] for key in _keys(job) if key in self.known), None)
        return None if like is None else median(like) * job.epochs


def _keys(job: Job) -> tuple[tuple[str, ...], ...]:
    """From the very same but for its seed, to any job at all."""
    return (
        (job.kind, job.model, job.method, job.switch, job.bits),
        (job.model, job.method, job.bits),
        (job.model, job.method),
        (job.model,),
        (),
    )


@dataclass(frozen=True)
class Budget:
    """How long a study may work."""

    minutes: float | None = None
    """No job begins that would not be done by then."""
    stop_after: float | None = None
    """Minutes after which what still runs is asked to save and stop."""
    began: float = field(default_factory=time.monotonic)

    def room_for(self, seconds: float | None) -> bool:
        """Whether a job of so many seconds may begin; one of which nothing is known may, while there is time at all."""
        limits = [limit for limit in (self.minutes, self.stop_after) if limit is not None]
        left = min((60 * limit - self.spent for limit in limits), default=float("inf"))
        if self.minutes is not None and seconds is not None and seconds > 60 * self.minutes - self.spent:
            return False
        return left > 0

    @property
    def over(self) -> bool:
        """Whether even what runs has to stop."""
        return self.stop_after is not None and self.spent > 60 * self.stop_after

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self.began
