"""Convolutions of codes are exact, whatever their windows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.integer_product import Side, holds
from stillbit.deploy.runtime.integer_windows import windows_way

HOW = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1}


@pytest.mark.parametrize("left", [Side(low=-8, high=7), Side(low=0, high=255), Side(low=-2, high=1, doubled=True)])
@pytest.mark.parametrize("right", [Side(low=-8, high=7), Side(low=-128, high=127, doubled=True)])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"stride": [4, 4], "kernel": (6, 3, 4, 4)},
        {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2]},
        {"padding": [1, 1], "kernel": (6, 12, 3, 3)},
        {"padding": [1, 0], "groups": 3, "kernel": (6, 4, 3, 2)},
        {"padding": [1, 1], "groups": 12, "kernel": (12, 1, 3, 3)},
        {"kernel": (5, 1, 1, 1)},
    ],
)
def test_windows_are_multiplied_as_the_reference_does(left: Side, right: Side, changes: dict[str, object]) -> None:
    outputs, inputs, high, wide = kernel = changes.get("kernel", (6, 4, 3, 2))  # type: ignore[misc]
    how = {**HOW, **{name: said for name, said in changes.items() if name != "kernel"}}
    a = torch.randint(left.low, left.high + 1, (2, inputs * how["groups"], 9, 8))  # type: ignore[operator]
    w = torch.randint(right.low, right.high + 1, (outputs, inputs, high, wide))
    chosen = windows_way(left, right, kernel, how)
    found = chosen.multiply(a.to(holds(left.low, left.high)), chosen.lay(w.to(holds(right.low, right.high))))
    plain = [codes.numpy() * (1 + side.doubled) + side.doubled for codes, side in ((a, left), (w, right))]
    want = reference._windows_product(*(each.astype(np.float64) for each in plain), **how)
    np.testing.assert_array_equal(found.double().numpy(), want)


def test_an_image_may_lie_in_memory_as_it_likes() -> None:
    side = Side(low=-8, high=7)
    a = torch.randint(-8, 8, (2, 4, 6, 5), dtype=torch.int8)
    for kernel in ((3, 4, 2, 2), (3, 4, 2, 5)):
        w = torch.randint(-8, 8, kernel, dtype=torch.int8)
        chosen = windows_way(side, side, kernel, HOW)
        want = chosen.multiply(a, chosen.lay(w))
        last = a.contiguous(memory_format=torch.channels_last)
        turned = a.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
        assert all(torch.equal(chosen.multiply(each, chosen.lay(w)), want) for each in (last, turned))
