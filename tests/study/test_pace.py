"""How long a job will take."""

from __future__ import annotations

import pytest

from stillbit.study.pace import Budget, Pace
from stillbit.study.standing import Standing
from tests.study.small import PLAIN, planned

CELLS = {job.name: job for job in planned()}
DONE = Standing(hash="", status="done", seconds=10.0)


def test_nothing_is_known_before_anything_is_done() -> None:
    assert Pace(()).seconds(CELLS["lsq-tiny-w4a4-seed0"]) is None


def test_another_seed_takes_as_long_and_something_like_it_about_as_long() -> None:
    pace = Pace([(CELLS["lsq-tiny-w4a4-seed0"], DONE)])
    pace.learn(CELLS["statsq-tiny-w2a2-seed0"], 30.0)
    assert pace.seconds(CELLS["lsq-tiny-w4a4-seed1"]) == 10.0
    assert pace.seconds(CELLS["lsq-tiny-w2a2-seed1"]) == 10.0
    assert pace.seconds(CELLS["statsq-tiny-w4a4-seed1"]) == 30.0
    other = planned(cells=[{**PLAIN["cells"][0], "methods": ["pact"]}])[0]
    assert pace.seconds(other) == 20.0


def test_an_epoch_more_takes_an_epoch_more() -> None:
    pace = Pace([(CELLS["lsq-tiny-w4a4-seed0"], DONE)])
    assert pace.seconds(planned(child="--epochs 7")[0]) == 70.0


def test_a_budget_has_room_for_what_fits() -> None:
    clock = Budget(minutes=1.0)
    assert clock.room_for(50.0) and clock.room_for(None) and not clock.room_for(70.0)


def test_a_budget_that_is_used_up_has_room_for_nothing() -> None:
    began = Budget().began - 61
    assert not Budget(1.0, None, began).room_for(None)
    assert not Budget(None, 1.0, began).room_for(0.0)


@pytest.mark.parametrize(("stop_after", "over"), [(None, False), (2.0, False), (1.0, True)])
def test_only_the_time_to_stop_ends_what_runs(stop_after: float | None, over: bool) -> None:
    assert Budget(1.0, stop_after, Budget().began - 61).over == over


def test_what_takes_longer_than_the_time_to_stop_may_begin_since_it_goes_on_another_time() -> None:
    assert Budget(None, 1.0).room_for(1000.0)
