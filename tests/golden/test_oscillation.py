"""Tracking and freezing against the released code of VVTQ's oscillation experiments, on 200 steps of 4096 weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from stillbit.dynamics.flips import Flips
from stillbit.dynamics.pins import Pins
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent

GRID = Grid(3)


@pytest.fixture(scope="module")
def path(golden) -> list[Tensor]:
    """The codes of the unfrozen weights, step by step, by our own snap."""
    numbers = golden("oscillation")
    ticks = numbers("w0_ticks").double() + 0.5
    steps = torch.cat([ticks[None], ticks + numbers("delta_ticks").double().cumsum(0)]) * 2.0**-12
    scale = numbers("alpha", "f64").view(1, 1)
    return [Latent(weight, GRID, scale).code() for weight in steps]


def test_our_codes_are_those_of_the_released_quantizer(golden, path: list[Tensor]) -> None:
    assert torch.equal(torch.stack(path).to(torch.int8), golden("oscillation")("x_int_raw"))


@pytest.mark.parametrize("momentum", [0.01, 0.1])
def test_oscillations_and_their_frequency_agree(golden, close, path: list[Tensor], momentum: float) -> None:
    numbers, at = golden("oscillation"), f"plain_m{momentum}"
    flips = Flips(path[0], torch.float64)
    total = torch.zeros(64, 64, dtype=torch.int16)
    for step, codes in enumerate(path):
        oscillates = flips.see(codes, momentum)
        total += oscillates
        assert oscillates.sum() == numbers(f"{at}/oscillated_per_step")[step]
    assert torch.equal(total, numbers(f"{at}/total_oscillation"))
    close(flips.frequency, numbers(f"{at}/f64/ema_oscillation"), "f64")
    # Theirs is the code before less the code after.
    assert torch.equal(flips.direction, -numbers(f"{at}/prev_switch_dir").to(torch.int8))
    moves = sum((b != a).int() for a, b in pairwise(path))
    assert torch.equal(flips.count.int(), moves)


@pytest.mark.parametrize("name", ["freeze_ema", "freeze_m0.1"])
def test_what_freezes_and_at_which_code_agrees_where_the_released_code_holds_it(
    golden, close, path: list[Tensor], name: str
) -> None:
    numbers = golden("oscillation")
    config = numbers.meta["configs"][name]
    pins = Pins(path[0], GRID, torch.float64)
    returned = torch.zeros(64, 64, dtype=torch.int64)
    for codes in path:
        held = torch.where(pins.frozen, pins.codes.to(codes.dtype), codes)
        returned += held
        pins.see(held, config["freeze_threshold"], config["momentum"])
    sound = numbers(f"{name}/flips_after_frozen") == 0
    assert 0.9 * sound.numel() < sound.sum() < sound.numel(), "there are faults, and they are few"
    frozen = numbers(f"{name}/frozen")
    assert torch.equal(pins.frozen[sound], frozen[sound])
    both = sound & frozen
    assert torch.equal(pins.codes[both], numbers(f"{name}/frozen_x_int")[both])
    assert torch.equal(returned[sound], numbers(f"{name}/returned_x_int_sum")[sound])
    close(pins.flips.frequency[sound], numbers(f"{name}/f64/ema_oscillation")[sound], "f64")
    close(pins.average[sound], numbers(f"{name}/f64/ema_x_int")[sound], "f64")


@pytest.mark.parametrize("name", ["freeze_ema", "freeze_m0.1"])
def test_what_is_frozen_never_flips_also_where_the_released_code_does(golden, path: list[Tensor], name: str) -> None:
    numbers = golden("oscillation")
    config = numbers.meta["configs"][name]
    assert numbers(f"{name}/flips_after_frozen").any()
    pins = Pins(path[0], GRID)
    for codes in path:
        before, frozen = pins.codes.clone(), pins.frozen.clone()
        pins.see(torch.where(frozen, before.to(codes.dtype), codes), config["freeze_threshold"], config["momentum"])
        assert (pins.frozen | ~frozen).all() and torch.equal(pins.codes[frozen], before[frozen])
    assert pins.frozen.any()
