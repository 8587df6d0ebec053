"""What a person sees while labels are written: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Self, final

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from stillbit.distill.write import Standing

EVERY = 30.0
"""Seconds between two plain lines."""


@final
class Progress:
    """Percent, views a second, time left. With several processes the first one guesses that all are as fast as it."""

    def __init__(self, console: Console, world: int) -> None:
        """``world`` processes share the work."""
        self.console, self.world, self.percent = console, world, "the beginning"
        self.began: float | None = None
        self.spoke = time.monotonic()
        self.live = Bar(
            TextColumn("labels"),
            BarColumn(30),
            TextColumn("{task.fields[said]}"),
            console=console,
            refresh_per_second=4,
            transient=True,
            disable=not console.is_terminal or console.quiet,
        )
        self.bar = self.live.add_task("", total=None, said="opening")

    def __enter__(self) -> Self:
        """Show the live line."""
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self.live.stop()

    def tell(self, standing: Standing) -> None:
        """How far it is."""
        now = time.monotonic()
        if self.began is None:
            self.began, self.at_first = now, standing.done
        done = min(standing.done + standing.part * self.world, standing.views)
        self.percent = f"{100 * done / standing.views:.1f} %"
        said = self._said(standing, done, now - self.began)
        self.live.update(self.bar, completed=done, total=standing.views, said=said)
        if self.live.disable and now - self.spoke >= EVERY:
            self.spoke = now
            self.console.print(said, markup=False, highlight=False, soft_wrap=True)

    def _said(self, standing: Standing, done: int, took: float) -> str:
        if standing.waits:
            return f"{self.percent}  waiting for {standing.waits} files that other processes are writing"
        if not standing.mine:
            return f"{self.percent}  loading and asking"
        # What others finish counts as well; until they do, they are taken to be as fast as this one.
        rate = max(standing.mine * self.world, done - self.at_first) / max(took, 1e-9)
        left = timedelta(seconds=int((standing.views - done) / rate))
        return f"{self.percent}  {rate:,.0f} views/s  {left} left"
