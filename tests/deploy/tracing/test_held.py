"""What is said of a tensor, and when that ends."""

from __future__ import annotations

import gc

import torch

from stillbit.deploy.program import Grid
from stillbit.deploy.tracing.held import Held, Traced


def test_a_tensor_that_nobody_put_here_is_known() -> None:
    tensor = torch.ones(2)
    assert Held().of(tensor).known is tensor


def test_a_known_tensor_keeps_its_grid_and_is_let_go() -> None:
    held, tensor, grid = Held(), torch.ones(2), Grid(low=0, high=1)
    held.put(tensor, Traced(known=tensor, grid=grid))
    found = held.of(tensor)
    assert found.known is tensor and found.grid == grid
    del tensor, found
    gc.collect()
    assert not len(held._values)


def test_who_shares_memory_with_what_was_written_to_is_stale() -> None:
    held, whole = Held(), torch.zeros(4)
    part, other = whole[:2], torch.zeros(4)
    for name, tensor in (("whole", whole), ("part", part), ("other", other)):
        held.put(tensor, Traced(name=name))
    held.overwritten(part)
    assert [held.of(tensor).stale for tensor in (whole, part, other)] == [True, False, False]


def test_what_is_known_no_more_when_its_memory_depends_on_the_input_is_stale() -> None:
    held, whole = Held(), torch.zeros(4)
    part = whole[:2]
    held.put(part, Traced(name="v0"))
    assert held.of(whole).stale and held.of(torch.zeros(4)).known is not None


def test_a_known_tensor_that_was_written_to_lies_on_no_grid_but_can_be_read() -> None:
    held, whole = Held(), torch.zeros(4)
    part = whole[:2]
    held.put(whole, Traced(known=whole, grid=Grid(low=0, high=1)))
    held.overwritten(part)
    found = held.of(whole)
    assert found.known is whole and found.grid is None and not found.stale
