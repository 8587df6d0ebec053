"""Asked to stop, a training ends after the step it is in, with everything saved."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

ECHO = 2.0
"""Seconds in which a second Ctrl-C counts as the first: a terminal and torchrun both pass it on."""


class Stopped(Exception):
    """Training ended early, on request."""

    def __init__(self, signal: int) -> None:
        """``signal`` is 0 in a process that was not asked itself."""
        super().__init__("stopped")
        self.signal = signal


@final
class Stop:
    """Whether someone asked, and how."""

    def __init__(self) -> None:
        """Nobody has."""
        self.signal = 0
        self.since = 0.0

    @property
    def asked(self) -> bool:
        """Whether a signal came."""
        return bool(self.signal)

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Catch SIGTERM and Ctrl-C; a second Ctrl-C acts at once."""
        before = {kind: signal.signal(kind, self._hear) for kind in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.signal, self.since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self.since > ECHO:
            raise KeyboardInterrupt
