"""Attention inside windows: masks between them, cosines, positions."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.swin_transformer_v2 import WindowAttention as CosineAttention
from torch import nn

from stillbit.layers.linear import QuantLinear
from stillbit.layers.window_attention import between_windows
from stillbit.quantizers import LSQ, Grid
from stillbit.surgery.timm_swin import QuantSwinV2Attention


def cosine(*roles: str) -> Any:
    torch.manual_seed(0)
    grids = {f"{role}_quantizer": LSQ(Grid(8), (1,)) for role in roles}
    return QuantSwinV2Attention.adopt(CosineAttention(24, (4, 4), 3), **grids).double()


def test_windows_of_every_image_get_their_own_mask() -> None:
    images, windows, heads = 2, 3, 4
    logits = torch.randn(images * windows, heads, 5, 5)
    mask = torch.randn(windows, 5, 5)
    found = between_windows(logits, mask)
    for image in range(images):
        for window in range(windows):
            number = image * windows + window
            assert torch.equal(found[number], logits[number] + mask[window])


def test_without_a_mask_nothing_is_added() -> None:
    logits = torch.randn(2, 3, 4, 4)
    assert between_windows(logits, None) is logits


def test_a_temperature_never_exceeds_100() -> None:
    layer = cosine()
    q = torch.randn(1, 3, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        layer.logit_scale.fill_(50.0)
    diagonal = layer.cosine(q, q).diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(diagonal, torch.full_like(diagonal, 100.0))


def test_the_position_bias_lies_between_0_and_16_and_depends_on_the_difference_alone() -> None:
    position = cosine().position()
    assert position.shape == (3, 16, 16) and (position > 0).all() and (position < 16).all()
    torch.testing.assert_close(position[:, 0, 1], position[:, 1, 2])
    torch.testing.assert_close(position[:, 0, 5], position[:, 5, 10])


def test_a_quantized_qkv_alone_keeps_the_cosine_off_the_float_path() -> None:
    """The float class reads the weight of qkv itself, so it would compute with the float one."""
    layer = cosine()
    assert layer.is_float()
    layer.qkv = QuantLinear.adopt(layer.qkv, weight_quantizer=LSQ(Grid(2), (1, 1)).double())
    assert not layer.is_float()
    x = torch.randn(2, 16, 24, dtype=torch.float64)
    before = layer(x)
    layer.qkv = nn.Linear(24, 72, bias=False).double()
    assert layer.is_float() and not torch.equal(layer(x), before)
