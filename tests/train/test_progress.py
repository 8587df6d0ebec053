"""What a person sees: a live line on a terminal, plain lines elsewhere, nothing where it is quiet."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from stillbit.train.progress import Progress, memory
from tests.train import tiny

ROW: dict[str, Any] = {"train_loss": 1.25, "top1": 61.5, "damaged": 0}


def shown(*, row: dict[str, Any] | None = None, best: bool = True, epochs: int = 3, **console: Any) -> str:
    """All that an epoch of two steps and one line puts out."""
    file = io.StringIO()
    progress = Progress(Console(file=file, width=120, **console), epochs, 2)
    training = tiny.training()
    with progress:
        for step in (1, 2):
            training.step = training.batch = step
            progress.tick(training)
        progress.step(training, {"loss": 1.5}, 1234.4)
        training.epoch, training.batch = 1, 0
        training.best = {"epoch": 1} if best else {}
        progress.epoch(training, ROW if row is None else row)
    return file.getvalue()


def test_where_nobody_watches_there_are_plain_lines() -> None:
    first, second = shown(force_terminal=False).splitlines()
    assert first.startswith("epoch 1/3 step 2/2  loss 1.500  1234 img/s  ") and first.endswith(" left")
    assert "GiB" in first
    assert second.startswith("epoch 1/3  loss 1.250  top1 61.50 % best  0:00:00 gone, 0:00:0")
    assert "\x1b" not in first + second


def test_a_terminal_gets_a_live_line_and_one_that_stays() -> None:
    out = shown(force_terminal=True, color_system=None)
    assert "\x1b[?25l" in out and "\x1b[?25h" in out, "the cursor hides, and comes back"
    assert "top1 61.50 % best" in out and "step 2/2" not in out


def test_a_quiet_console_stays_quiet() -> None:
    assert shown(quiet=True) == "" == shown(quiet=True, force_terminal=True)


def test_averages_and_damaged_images_are_told() -> None:
    out = shown(force_terminal=False, row={**ROW, "ema_top1": 70.25, "damaged": 3}, best=False)
    assert "top1 61.50 % (average 70.25 %)  " in out and "3 damaged images left out" in out and "best" not in out


def test_a_slow_run_shows_tenths_and_nothing_is_left_after_the_last_step() -> None:
    file = io.StringIO()
    progress = Progress(Console(file=file, width=40), 1, 1)
    training = tiny.training()
    training.step = training.batch = 1
    progress.tick(training)
    progress.step(training, {"a loss with a long name": 1.0}, 0.26)
    assert "0.3 img/s" in file.getvalue() and "0:00:00 left" in file.getvalue()
    assert file.getvalue().count("\n") == 1, "however narrow the console, a line is a line"


def test_memory_is_told_in_gibibytes() -> None:
    number, unit = memory(tiny.training()).split()
    assert 0 < float(number) < 1000 and unit == "GiB"


@pytest.mark.parametrize("failing", [True, False])
def test_the_live_line_goes_away_whatever_happens(failing: bool) -> None:
    progress = Progress(Console(file=io.StringIO(), force_terminal=True), 1, 1)
    try:
        with progress:
            assert progress.live.live.is_started
            if failing:
                raise KeyError
    except KeyError:
        pass
    assert not progress.live.live.is_started
