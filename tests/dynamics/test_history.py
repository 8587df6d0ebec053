from __future__ import annotations

import io

import pytest
import torch

from stillbit.dynamics.history import FIRST, MOST, History


def fed(looks: int) -> History:
    """Told one thing after each look: layer 0 has the look's number, layer 1 its square."""
    history = History(2)
    feed(history, range(1, looks + 1))
    return history


def feed(history: History, looks: range) -> None:
    for look in looks:
        if history.is_due(look):
            now = torch.tensor([float(look), float(look**2)])
            history.add(3 * look, now, -now)


@pytest.mark.parametrize("looks", [0, 9, 10, 25, 1279, 1280, 5000, 100_000])
def test_moments_are_evenly_apart_and_never_too_many(looks: int) -> None:
    history = fed(looks)
    steps, shares, scales = history.past()
    apart = steps.diff()
    assert len(steps) < MOST and len(steps) == looks // history.every
    assert (apart == 3 * history.every).all() and history.every % FIRST == 0
    assert torch.equal(shares[:, 0], steps.double() / 3) and torch.equal(shares[:, 1], shares[:, 0].square())
    assert torch.equal(scales, -shares)


def test_a_long_training_keeps_at_least_half_the_moments_there_is_room_for() -> None:
    assert all(len(fed(looks).past().steps) >= MOST // 2 for looks in (1280, 2000, 2560, 99_999))


@pytest.mark.parametrize("stop", [0, 7, 640, 1279, 1280, 1285])
def test_a_history_goes_on_where_its_state_was_taken(stop: int) -> None:
    file = io.BytesIO()
    torch.save(fed(stop).state(), file)
    file.seek(0)
    second = History(2)
    second.load_state(torch.load(file, weights_only=True))
    feed(second, range(stop + 1, 3001))
    for one, other in zip(fed(3000).past(), second.past(), strict=True):
        assert torch.equal(one, other)


def test_a_state_of_nothing_forgets_everything() -> None:
    history = fed(2000)
    history.load_state({})
    assert not len(history.past().steps) and history.every == FIRST
