"""What is said while labels are written."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from stillbit.cli import labels_progress
from stillbit.cli.labels_progress import Progress
from stillbit.distill.write import Standing


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(labels_progress, "time", made)
    return made


def said(clock: Clock, world: int, *steps: tuple[float, Standing], terminal: bool = False) -> list[str]:
    file = io.StringIO()
    with Progress(Console(file=file, force_terminal=terminal, width=100), world) as progress:
        for later, standing in steps:
            clock.now += later
            progress.tell(standing)
    return file.getvalue().splitlines()


def test_elsewhere_than_on_a_terminal_there_is_a_line_now_and_then(clock: Clock) -> None:
    lines = said(
        clock,
        1,
        (0, Standing(10_000)),
        (10, Standing(10_000, part=100, mine=100)),
        (30, Standing(10_000, part=400, mine=400)),
        (10, Standing(10_000, part=500, mine=500)),
        (40, Standing(10_000, done=800, part=100, mine=900)),
    )
    assert lines == ["4.0 %  10 views/s  0:16:00 left", "9.0 %  10 views/s  0:15:10 left"]


def test_what_was_there_already_counts_for_the_percentage_and_not_for_the_speed(clock: Clock) -> None:
    (line,) = said(clock, 1, (0, Standing(1000, done=500)), (50, Standing(1000, done=500, part=250, mine=250)))
    assert line == "75.0 %  5 views/s  0:00:50 left"


def test_others_are_taken_to_be_as_fast_as_the_first_until_they_have_finished_more(clock: Clock) -> None:
    began = (0, Standing(1000))
    assert said(clock, 4, began, (40, Standing(1000, part=100, mine=100))) == ["40.0 %  10 views/s  0:01:00 left"]
    assert said(clock, 1, began, (40, Standing(1000, done=400, part=10, mine=10))) == [
        "41.0 %  10 views/s  0:00:57 left"
    ]


def test_one_that_waits_says_for_what(clock: Clock) -> None:
    (line,) = said(clock, 1, (0, Standing(1000)), (40, Standing(1000, done=900, mine=500, waits=2)))
    assert line == "90.0 %  waiting for 2 files that other processes are writing"


def test_before_the_first_batch_it_does_not_guess(clock: Clock) -> None:
    (line,) = said(clock, 1, (0, Standing(1000)), (31, Standing(1000)))
    assert line == "0.0 %  loading and asking"


def test_on_a_terminal_there_is_one_line_that_goes_away(clock: Clock) -> None:
    lines = said(clock, 1, (0, Standing(1000)), (40, Standing(1000, part=500, mine=500)), terminal=True)
    assert "50.0 %" in "".join(lines) and not any(line.startswith("50.0 %") for line in lines)


def test_a_silent_console_is_silent(clock: Clock) -> None:
    file = io.StringIO()
    with Progress(Console(file=file, quiet=True), 1) as progress:
        for _ in range(3):
            clock.now += 40
            progress.tell(Standing(1000, part=10, mine=10))
    assert not file.getvalue() and progress.percent == "1.0 %"
