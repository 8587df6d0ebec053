"""Do the jobs of a study: one process a device, what is done stays done, and what fails harms nothing else."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, final

from stillbit.study.chain import LOOKER, PROGRAM, At, Chain, Ending
from stillbit.study.commands import commands, looks_of
from stillbit.study.folder import Folder
from stillbit.study.jobs import Job
from stillbit.study.pace import Budget, Pace
from stillbit.study.settings import Study
from stillbit.study.standing import Standing
from stillbit.train.stop import Stop

NAP = 0.1
"""Seconds between two looks at the processes."""
Event = Literal["begins", "goes on", "done", "failed", "stopped"]
Tell = Callable[[Event, Job, Standing], None]


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done, where, and for how long."""

    study: Study
    jobs: Sequence[Job]
    devices: tuple[str, ...] = ("auto",)
    budget: Budget = field(default_factory=Budget)
    retry: bool = False
    """Do again what failed."""
    program: Sequence[str] = PROGRAM
    looker: Sequence[str] = LOOKER


@dataclass
class Outcome:
    """How it went."""

    signal: int = 0
    """What stopped it, if anything did."""
    left: list[Job] = field(default_factory=list)
    """For which there was no time."""
    blocked: list[Job] = field(default_factory=list)
    """That need what failed."""


@final
class Crew:
    """The devices, and what each is at."""

    def __init__(self, work: Work, folder: Folder, lock: int, tell: Tell) -> None:
        """``lock`` is held by every process; ``tell`` hears of every beginning and end."""
        self.work, self.folder, self.lock, self.tell = work, folder, lock, tell
        self.standing: dict[str, Standing] = {}
        for job in work.jobs:
            folder.ready(job)
            self.standing[job.key] = folder.settle(job)
        self.pace = Pace((job, held) for job in work.jobs if (held := self.standing[job.key]).status == "done")
        self.waiting = [job for job in work.jobs if self._wanted(job)]
        self.busy: dict[int, Chain] = {}

    def perform(self) -> Outcome:
        """Until all is done, the budget is used up, or somebody asks to stop."""
        outcome, stop = Outcome(), Stop()
        with stop.listening():
            try:
                while True:
                    over = self.work.budget.over
                    for chain in self.busy.values():
                        if stop.asked or over:
                            chain.stop()
                    if not (stop.asked or over):
                        self._begin_all()
                    self._listen()
                    if not self.busy and (stop.asked or over or self._next() is None):
                        break
                    time.sleep(NAP)
            finally:
                for chain in self.busy.values():
                    chain.kill()
        outcome.signal = stop.signal
        for job in self.waiting:
            (outcome.blocked if self._blocked(job) else outcome.left).append(job)
        return outcome

    def _begin_all(self) -> None:
        """A job for each device that has none, as long as there are some that can begin."""
        for place in range(len(self.work.devices)):
            job = self._next() if place not in self.busy else None
            if job is not None:
                self._begin(job, place)

    def _next(self) -> Job | None:
        """The first whose turn it is: it has what it needs, and there is time for it.

        What comes later does not overtake one for which there is no time, or a small budget would leave the large cells
        of every seed undone.
        """
        for job in self.waiting:
            if all(self.standing[key].status == "done" for _, key in job.needs):
                seconds = self.pace.seconds(job)
                spent = self.standing[job.key].seconds
                rest = None if seconds is None else max(seconds - spent, 0.0)
                return job if self.work.budget.room_for(rest) else None
        return None

    def _begin(self, job: Job, place: int) -> None:
        self.waiting.remove(job)
        device, held = self.work.devices[place], self.standing[job.key]
        made = held.status == "done"
        todo = commands(job, self.folder, device, self.work.study.measure, made=made)
        log, environment, work = self.folder.log(job.key), self._environment(device), self.work
        at = At(log, environment, self.lock, work.program, work.looker)
        minutes = self.work.study.timeout if job.kind == "runs" else None
        self._now(job, replace(held, status="begun", error="", unmeasured={}))
        self.tell("goes on" if held.seconds else "begins", job, held)
        self.busy[place] = Chain(job, todo, at, None if minutes is None else 60 * minutes)

    def _listen(self) -> None:
        for place, chain in list(self.busy.items()):
            ending = chain.poll()
            if ending is not None:
                del self.busy[place]
                self._end(chain, ending)

    def _end(self, chain: Chain, ending: Ending) -> None:
        job, held = chain.job, self.standing[chain.job.key]
        asked = chain.asked is not None and not chain.late
        event: Literal["done", "failed", "stopped"] = "done"
        if ending.code:
            event = "stopped" if asked or (ending.code in _ASKED and not chain.late) else "failed"
        seconds = held.seconds + ending.seconds
        self._now(job, replace(held, status=event, error=ending.error, seconds=seconds, unmeasured=ending.unmeasured))
        if event == "done":
            self.pace.learn(job, seconds)
        self.tell(event, job, self.standing[job.key])

    def _now(self, job: Job, standing: Standing) -> None:
        self.standing[job.key] = standing
        self.folder.keep(job, standing)

    def _wanted(self, job: Job) -> bool:
        """Whether something is to be done: the job itself, or something that is to be measured since."""
        held = self.standing[job.key]
        if held.status == "failed":
            return self.work.retry
        if held.status != "done":
            return True
        missing = looks_of(job, self.folder, "", self.work.study.measure, made=True)
        return any(self.work.retry or look.what not in held.unmeasured for look in missing)

    def _blocked(self, job: Job) -> bool:
        """Whether it needs, at whatever distance, what failed."""
        needs = [key for _, key in job.needs]
        by_key = {one.key: one for one in self.work.jobs}
        return any(self.standing[key].status == "failed" or self._blocked(by_key[key]) for key in needs)

    def _environment(self, device: str) -> dict[str, str]:
        """Processes that share a machine share its cores, unless somebody has said how many each may have."""
        beside = sum(one == device for one in self.work.devices)
        if device != "cpu" or beside < 2 or "OMP_NUM_THREADS" in os.environ:
            return {}
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return {"OMP_NUM_THREADS": str(max(1, cores // beside))}


_ASKED = (128 + signal.SIGTERM, 128 + signal.SIGINT)
"""Codes of a command that somebody else asked to stop."""
