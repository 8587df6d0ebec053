"""A job at work: its commands in processes of their own, one after the other, so that what kills one harms no other."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, final

from stillbit.study.commands import Command
from stillbit.study.jobs import Job

PROGRAM = (sys.executable, "-m", "stillbit.cli")
LOOKER = (sys.executable, "-m", "stillbit.cli.study_looks")
GRACE = 120.0
"""Seconds in which a training that was asked to stop finishes its step and saves."""
TAIL = 4000
"""Bytes of a log's end in which the last words are looked for."""
LINES = 3
SIGNALS = {signal.SIGKILL: "perhaps the machine had no memory left", signal.SIGSEGV: "a crash in compiled code"}


class Ending(NamedTuple):
    """How a job ended."""

    code: int
    error: str
    """The last words of the command that made it; empty if it did."""
    unmeasured: dict[str, str]
    """What could not be looked at, and why."""
    seconds: float


class At(NamedTuple):
    """Where a job is done."""

    log: Path
    environment: Mapping[str, str]
    lock: int | None = None
    """A file that every process holds open."""
    program: Sequence[str] = PROGRAM
    looker: Sequence[str] = LOOKER


@final
class Chain:
    """The commands of one job."""

    def __init__(self, job: Job, commands: Sequence[Command], at: At, timeout: float | None = None) -> None:
        """Starts the first; ``timeout`` are seconds for all of them together."""
        self.job, self.at = job, at
        self.commands = list(commands)
        self.began = time.monotonic()
        self.until = None if timeout is None else self.began + timeout
        self.timeout = timeout
        self.asked: float | None = None
        self.late = False
        self.unmeasured: dict[str, str] = {}
        at.log.parent.mkdir(parents=True, exist_ok=True)
        self.process, self.mark = self._start(self.commands[0])

    def poll(self) -> Ending | None:
        """Go on to the next command where one has ended; how it ended, if that was the last."""
        now = time.monotonic()
        if self.until is not None and now > self.until and self.asked is None:
            self.late = True
            self.stop()
        if self.asked is not None and now > self.asked + GRACE:
            self.kill()
        code = self.process.poll()
        if code is None:
            return None
        command = self.commands.pop(0)
        if self.asked is not None and code:
            error = f"stopped after {self.timeout / 60:g} minutes" if self.late and self.timeout else ""
            return self._ended(code, error)
        if command.looks:
            self.unmeasured |= _unanswered(command, last_words(self.at.log, self.mark, code) if code else "no answer")
        elif code:
            return self._ended(code, last_words(self.at.log, self.mark, code))
        if not self.commands:
            return self._ended(0, "")
        if self.asked is not None:
            return self._ended(128 + signal.SIGTERM, "")
        self.process, self.mark = self._start(self.commands[0])
        return None

    def stop(self) -> None:
        """Ask it to save and end; it is killed when it does not."""
        if self.asked is None:
            self.asked = time.monotonic()
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """At once, with all its processes."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def _ended(self, code: int, error: str) -> Ending:
        return Ending(code, error, self.unmeasured, time.monotonic() - self.began)

    def _start(self, command: Command) -> tuple[subprocess.Popen[bytes], int]:
        """The process, and where in the log its words begin."""
        words = (*(self.at.looker if command.looks else self.at.program), *command.words)
        if command.answers is not None:
            command.answers.unlink(missing_ok=True)
        with self.at.log.open("ab") as log:
            log.write(f"$ {' '.join(words)}\n".encode())
            log.flush()
            begin = log.tell()  # the child shares the file's position
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.at.environment},
                start_new_session=True,  # the Ctrl-C of a terminal is for the study, which passes it on once
                pass_fds=() if self.at.lock is None else (self.at.lock,),
                preexec_fn=_mortal,
            )
            return process, begin


def _unanswered(command: Command, otherwise: str) -> dict[str, str]:
    """The looks that gave nothing, each with the reason; those that no answer is there of, ``otherwise``."""
    assert command.answers is not None
    held = json.loads(command.answers.read_text(encoding="utf-8")) if command.answers.is_file() else {}
    return {what: said for what in command.looks if (said := held.get(what, otherwise))}


def last_words(log: Path, since: int, code: int) -> str:
    """Why a process ended, as far as it said so, in one line."""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - TAIL))
        lines = [line.strip() for line in file.read().decode("utf-8", errors="replace").splitlines()]
    said = [line for line in lines if line and not line.startswith("$ ")]
    own = [line for line in said if line.startswith("stillbit: ")]
    words = own[-1].removeprefix("stillbit: ") if own else " | ".join(said[-LINES:])
    if code < 0:
        known = signal.Signals(-code)
        words = f"killed by {known.name}, {SIGNALS.get(known, 'from outside')}" + (f" | {words}" if words else "")
    return words or f"ended with code {code} and no word"


def _mortal() -> None:
    """In a new process: be asked to stop when the study is killed. Where there is no prctl, it trains to its end."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
