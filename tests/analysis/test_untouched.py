from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from stillbit.analysis.untouched import untouched


def model() -> nn.Sequential:
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    made[2].eval()
    made[0].bias.requires_grad_(False)
    return made


def state(of: nn.Module) -> tuple[list[bool], list[bool], dict[str, Tensor]]:
    numbers = {name: tensor.clone() for name, tensor in of.state_dict().items()}
    return [m.training for m in of.modules()], [p.requires_grad for p in of.parameters()], numbers


def same(one: tuple[list[bool], list[bool], dict[str, Tensor]], other: nn.Module) -> bool:
    modes, learns, numbers = state(other)
    return (modes, learns) == one[:2] and all(torch.equal(numbers[name], tensor) for name, tensor in one[2].items())


@pytest.mark.parametrize("fails", [False, True])
def test_modes_numbers_and_what_learns_come_back_however_the_block_ends(fails: bool) -> None:
    held = model()
    before, places = state(held), [p.data_ptr() for p in held.parameters()]
    try:
        with untouched(held):
            assert not any(module.training for module in held.modules())
            held.train()
            held(torch.randn(5, 3))
            for parameter in held.parameters():
                parameter.data.mul_(3.0)
                parameter.requires_grad_(True)
            if fails:
                raise KeyError
    except KeyError:
        assert fails
    assert same(before, held)
    assert places == [p.data_ptr() for p in held.parameters()] and all(p.grad is None for p in held.parameters())


def test_numbers_that_are_none_come_back_as_they_were() -> None:
    held = model()
    held[0].weight.data[0, 0] = float("nan")
    with untouched(held):
        held[0].weight.data.zero_()
    assert held[0].weight.isnan().sum() == 1
