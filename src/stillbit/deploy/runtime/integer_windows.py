"""Convolutions of codes: windows laid out as rows, and one product of integers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stillbit.deploy.runtime.integer_product import Side, Way, digits, exact_float, rows, way


def windows_way(left: Side, right: Side, kernel: tuple[int, ...], how: dict[str, Any]) -> Way:
    """How an image of codes is multiplied by kernels of codes, of this shape."""
    outputs, inputs, high, wide = kernel
    terms = inputs * high * wide
    if how["groups"] > 1:  # groups are narrow: floats in which every sum is exact
        kind = exact_float(terms * left.reach * right.reach)
        return Way(
            lay=lambda w: digits(w, right, kind),
            multiply=lambda a, w: F.conv2d(digits(a, left, kind), w, **how),
        )
    channels_last = inputs >= wide  # what lies together in memory should be long
    order = (2, 3, 1, 0) if channels_last else (1, 2, 3, 0)
    doubled = left if left.doubled and any(how["padding"]) else None  # zeros around it are digits, but no codes
    plain = left if doubled is None else Side(low=left.digits[0], high=left.digits[1])
    product = way(plain, right, terms, weight=True, times=rows)

    def multiply(a: Tensor, w: Tensor) -> Tensor:
        a = a if doubled is None else digits(a, doubled, torch.int16)
        laid = _windows(a, (high, wide), how, channels_last=channels_last)
        return product.multiply(laid, w).permute(0, 3, 1, 2)

    return Way(
        lay=lambda w: product.lay(w.permute(order).reshape(terms, outputs)).contiguous(),
        multiply=multiply,
    )


def _windows(a: Tensor, window: tuple[int, int], how: dict[str, Any], *, channels_last: bool) -> Tensor:
    """A row for every place the window takes: its pixels, in the order of the prepared weight."""
    (top, left), (down, right), (far, wide) = how["padding"], how["stride"], how["dilation"]
    if top or left:
        a = F.pad(a, (left, left, top, top))
    if channels_last:
        a = a.contiguous(memory_format=torch.channels_last)
    batch, channels, rows, columns = a.shape
    of_batch, of_channel, of_row, of_column = a.stride()
    size = ((rows - far * (window[0] - 1) - 1) // down + 1, (columns - wide * (window[1] - 1) - 1) // right + 1)
    taken = a.as_strided(
        (batch, *size, *window, channels),
        (of_batch, down * of_row, right * of_column, far * of_row, wide * of_column, of_channel),
    )
    if not channels_last:
        taken = taken.permute(0, 1, 2, 5, 3, 4)
    return taken.reshape(batch, *size, -1)
