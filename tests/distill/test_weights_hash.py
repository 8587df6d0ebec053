"""A hash that tells weights apart, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillbit.distill.weights_hash import weights_hash
from tests.distill.teachers import network


def test_the_same_numbers_have_the_same_hash_wherever_they_lie() -> None:
    model = network(1)
    wanted = weights_hash(model)
    assert len(wanted) == 64
    assert weights_hash(network(1)) == wanted
    assert weights_hash(model.to(memory_format=torch.channels_last).requires_grad_(False).eval()) == wanted


def nudge(model: nn.Sequential) -> nn.Module:
    model[4].weight.data[0, 0] += 1e-6
    return model


def count(model: nn.Sequential) -> nn.Module:
    model[1].num_batches_tracked += 1
    return model


def half(model: nn.Sequential) -> nn.Module:
    return model.bfloat16()


def renamed(model: nn.Sequential) -> nn.Module:
    return nn.Sequential(model)


def turned(model: nn.Sequential) -> nn.Module:
    model[4].weight = nn.Parameter(model[4].weight.data.reshape(-1, 7))
    return model


@pytest.mark.parametrize("change", [nudge, count, half, renamed, turned])
def test_another_number_name_type_or_shape_has_another(change) -> None:
    assert weights_hash(change(network(1))) != weights_hash(network(1))
