from __future__ import annotations

import torch

from stillbit.dynamics.pins import Pins
from stillbit.quantizers.grid import Grid


def follow(path: list[int], threshold: float, momentum: float, grid: Grid | None = None) -> Pins:
    pins = Pins(torch.tensor([path[0]]), grid or Grid(3), torch.float64)
    for code in path[1:]:
        held = pins.codes.to(torch.int64) if pins.frozen.item() else torch.tensor([code])
        pins.see(held, threshold, momentum)
    return pins


def by_hand(path: list[int], threshold: float, momentum: float) -> tuple[bool, int | None]:
    """Nagel's rule in a loop, with the code decided once."""
    average, frequency, last, before, frozen = float(path[0]), 0.0, 0, path[0], None
    for code in path[1:]:
        code = code if frozen is None else frozen
        change = (code > before) - (code < before)
        frequency = momentum * (change * last == -1) + (1 - momentum) * frequency
        last, before = change or last, code
        if frozen is None and frequency > threshold:
            frozen = round(average)
        average = momentum * code + (1 - momentum) * average
    return frozen is not None, frozen


def test_a_weight_that_turns_back_too_often_freezes_at_the_code_it_mostly_had() -> None:
    pins = follow([1, 2, 1, 1, 2, 1, 1, 2, 1], 0.15, 0.1)
    assert pins.frozen.item() and pins.codes.item() == 1
    assert not follow([1, 2, 2, 2, 3, 3], 0.15, 0.1).frozen.item()
    assert not follow([1, 2] * 20, 0.0, 0.1).frozen.item(), "a threshold of zero freezes nothing"


def test_freezing_is_that_of_a_loop() -> None:
    chance = torch.Generator().manual_seed(0)
    frozen = 0
    for _ in range(60):
        path = (torch.randint(0, 2, (60,), generator=chance) + torch.randint(-3, 2, (1,), generator=chance)).tolist()
        pins = follow(path, 0.4, 0.05)
        wanted = by_hand(path, 0.4, 0.05)
        assert (pins.frozen.item(), pins.codes.item() if wanted[0] else None) == wanted
        frozen += wanted[0]
    assert 0 < frozen < 60


def test_on_a_mid_rise_grid_the_mean_of_the_codes_is_rounded_just_the_same() -> None:
    for grid in (Grid(2), Grid(2, offset=0.5), Grid(1, offset=0.5)):
        pins = follow([-1, 0, -1, -1, -1, 0, -1, -1, 0, -1], 0.15, 0.1, grid)
        assert pins.frozen.item() and pins.codes.item() == -1


def test_it_goes_on_where_its_state_was_taken() -> None:
    path = torch.randint(-1, 1, (40, 9), generator=torch.Generator().manual_seed(1))
    whole, first, second = (Pins(path[0], Grid(2)) for _ in range(3))
    for codes in path[:20]:
        whole.see(codes, 0.2, 0.1)
        first.see(codes, 0.2, 0.1)
    second.load_state(first.state())
    for codes in path[20:]:
        assert torch.equal(whole.see(codes, 0.2, 0.1), second.see(codes, 0.2, 0.1))
    assert torch.equal(whole.average, second.average) and torch.equal(whole.codes, second.codes)
    assert whole.frozen.any() and torch.equal(whole.frozen, second.frozen)
