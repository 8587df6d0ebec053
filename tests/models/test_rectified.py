"""ReLU for GELU, wherever timm puts it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stillbit.models.names import create
from stillbit.models.rectified import rectified


def test_nothing_behind_an_activation_is_below_zero() -> None:
    model = rectified(create("vit_pico_patch4_32", img_size=16)).eval()
    seen = list[torch.Tensor]()
    for block in model.blocks:  # type: ignore[union-attr]
        block.mlp.act.register_forward_hook(lambda module, inputs, output: seen.append(output))
    model(torch.randn(2, 3, 16, 16))
    assert len(seen) == len(model.blocks) and all((x >= 0).all() for x in seen)  # type: ignore[arg-type]


def test_a_model_without_one_is_refused() -> None:
    with pytest.raises(ValueError, match="has no GELU that ReLU could stand for: leave out --relu"):
        rectified(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
