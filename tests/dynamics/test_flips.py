from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.dynamics.flips import MOST, Flips


def see(path: list[int], momentum: float = 0.5) -> tuple[Flips, list[bool]]:
    flips = Flips(torch.tensor([path[0]]), torch.float64)
    return flips, [bool(flips.see(torch.tensor([code]), momentum)) for code in path[1:]]


def test_a_change_against_the_last_change_is_an_oscillation_however_long_ago_that_was() -> None:
    _, found = see([0, 1, 2, 2, 2, 1, 1, 2, 3, 0])
    assert found == [False, False, False, False, True, False, True, False, True]


def test_the_first_change_has_no_direction_before_it() -> None:
    assert see([0, -1])[1] == [False] and see([0, 0, 0])[1] == [False, False]


def test_the_frequency_takes_the_indicator_and_not_the_direction() -> None:
    flips, _ = see([0, 1, 0, 1, 1], momentum=0.1)
    # Equation 10 with the sign in the place of the indicator would come near zero here.
    assert flips.frequency.item() == pytest.approx(0.9 * (0.9 * 0.1 + 0.1))


@given(st.lists(st.integers(-128, 127), min_size=2, max_size=40), st.floats(0.001, 0.9))
def test_a_path_of_codes_is_counted_as_by_hand(path: list[int], momentum: float) -> None:
    flips, found = see(path, momentum)
    last, frequency, moves = 0, 0.0, 0
    for index, (before, now) in enumerate(pairwise(path)):
        direction = (now > before) - (now < before)
        turned = direction * last == -1
        assert found[index] == turned
        frequency = momentum * turned + (1 - momentum) * frequency
        moves += direction != 0
        last = direction or last
    assert flips.frequency.item() == pytest.approx(frequency)
    assert (flips.count.item(), flips.direction.item(), flips.begin.item()) == (moves, last, path[0])


def test_counts_stop_at_the_most_they_can_hold() -> None:
    flips = Flips(torch.tensor([0, 0]))
    flips.count.fill_(MOST - 1)
    for code in (1, 0, 1):
        flips.see(torch.tensor([code, 0]), 0.1)
    assert flips.count.tolist() == [MOST, MOST - 1]


def test_it_remembers_codes_in_a_byte_and_all_in_nine() -> None:
    flips = Flips(torch.zeros(100, dtype=torch.int16))
    assert flips.codes.dtype == flips.begin.dtype == flips.direction.dtype == torch.int8
    assert sum(t.numel() * t.element_size() for t in flips.state().values()) == 9 * 100


def test_it_goes_on_where_its_state_was_taken() -> None:
    chance = torch.Generator().manual_seed(0)
    path = torch.randint(-2, 2, (20, 30), generator=chance)
    whole, first = Flips(path[0]), Flips(path[0])
    for codes in path[:10]:
        whole.see(codes, 0.1)
        first.see(codes, 0.1)
    state = first.state()
    first.see(path[0], 0.9)
    second = Flips(torch.zeros(30))
    second.load_state(state)
    for codes in path[10:]:
        assert torch.equal(whole.see(codes, 0.1), second.see(codes, 0.1))
    assert all(torch.equal(a, b) for a, b in zip(whole.state().values(), second.state().values(), strict=True))
