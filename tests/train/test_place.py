from __future__ import annotations

import pytest
import torch
from torch import nn

from stillbit.train.distributed import Share
from stillbit.train.place import place
from stillbit.train.settings import MachineSettings
from tests.train import tiny


@pytest.mark.parametrize("last", [True, False])
def test_channels_lie_last_only_where_that_was_asked_for(last: bool) -> None:
    conv = nn.Conv2d(3, 4, 3)
    x = torch.randn(2, 3, 8, 8)
    wanted = conv(x)
    placed = place(conv, MachineSettings(channels_last=last), tiny.ALONE)
    assert placed.weight.is_contiguous(memory_format=torch.channels_last) is last
    torch.testing.assert_close(placed(x), wanted)


def test_a_model_goes_to_the_device_of_its_process() -> None:
    placed = place(tiny.network(), MachineSettings(), Share(0, 1, torch.device("meta")))
    assert all(p.is_meta for p in placed.parameters())


@pytest.mark.gpu
def test_a_model_goes_to_its_gpu() -> None:
    placed = place(tiny.network(), MachineSettings(), Share(0, 1, torch.device("cuda", 0)))
    assert all(p.is_cuda for p in placed.parameters())
