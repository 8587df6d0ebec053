"""The shape of what an operation puts out, against what the reference makes."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from stillbit.deploy.file.check_shapes import shape_of, spelled
from stillbit.deploy.program import Dims, Step, sizes
from stillbit.deploy.runtime import reference
from tests.deploy.programs import POOL, WINDOW


def step(op: str, **settings: Any) -> Step:
    return Step(op=op, inputs=(), output="y", settings=settings, layer="")


def computed(op: str, shapes: list[Dims], batch: int, **settings: Any) -> Dims:
    """The shape that the reference makes of it."""
    if "shape" in settings:
        settings["shape"] = sizes(tuple(settings["shape"]), batch)
    inputs = [np.ones(sizes(dims, batch), np.float32) for dims in shapes]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tuple(reference.OPERATIONS[op](*inputs, **settings).shape)


def agrees(op: str, *shapes: Dims, **settings: Any) -> Dims:
    dims = shape_of(step(op, **settings), list(shapes))
    for batch in (1, 2, 3):
        assert computed(op, list(shapes), batch, **settings) == sizes(dims, batch)
    return dims


@pytest.mark.parametrize(
    ("op", "shapes", "settings", "out"),
    [
        ("add", [(-1, 4, 3), (4, 1)], {}, (-1, 4, 3)),
        ("add", [(-1, 4), (1, 1, 4)], {}, (1, -1, 4)),
        ("add", [(1, 4), (-2, 1)], {}, (-2, 4)),
        ("where", [(-1, 1), (3,), ()], {}, (-1, 3)),
        ("reshape", [(-4, 6)], {"shape": [-1, 2, 2, 3, 2]}, (-1, 2, 2, 3, 2)),
        ("reshape", [(-1, 4, 6)], {"shape": [-4, 6]}, (-4, 6)),
        ("expand", [(1, 1, 4)], {"shape": [-1, 3, 4]}, (-1, 3, 4)),
        ("expand", [(4,)], {"shape": [2, 4]}, (2, 4)),
        ("permute", [(-1, 2, 3)], {"axes": [2, 0, 1]}, (3, -1, 2)),
        ("select", [(-1, 2, 3)], {"axis": 1, "index": -1}, (-1, 3)),
        ("slice", [(-1, 8)], {"axis": 1, "start": 1, "stop": -1, "step": 2}, (-1, 3)),
        ("slice", [(-1, 8)], {"axis": 0, "start": 0, "stop": None, "step": 1}, (-1, 8)),
        ("cat", [(-1, 2), (-1, 3)], {"axis": 1}, (-1, 5)),
        ("cat", [(-1, 2), (-3, 2)], {"axis": 0}, (-4, 2)),
        ("pad", [(-1, 2)], {"around": [[0, 0], [1, 2]], "value": 0.0}, (-1, 5)),
        ("roll", [(-1, 4)], {"by": [-3], "axes": [1]}, (-1, 4)),
        ("product", [(-1, 5, 4), (4, 3)], {"offsets": [0.0, 0.5]}, (-1, 5, 3)),
        ("matmul", [(-1, 2, 5, 4), (-1, 2, 4, 5)], {}, (-1, 2, 5, 5)),
        ("matmul", [(-6, 4), (4, 5)], {}, (-6, 5)),
        ("conv", [(-1, 4, 9, 8), (6, 2, 3, 3)], {**WINDOW, "groups": 2, "stride": [2, 3]}, (-1, 6, 5, 3)),
        ("conv", [(-1, 4, 9, 8), (6, 4, 3, 2)], {**WINDOW, "dilation": [2, 1]}, (-1, 6, 7, 9)),
        ("max_pool", [(-1, 4, 9, 8)], {**POOL, "ceil": True}, (-1, 4, 5, 4)),
        ("avg_pool", [(-1, 4, 9, 8)], {**POOL, "counts_padding": False}, (-1, 4, 4, 4)),
        ("softmax", [(-1, 4)], {"axis": 1}, (-1, 4)),
        ("layer_norm", [(-1, 4, 5), (4, 5), (4, 5)], {"axes": 2, "eps": 1e-5}, (-1, 4, 5)),
        ("mean", [(-1, 4, 5)], {"axes": [1, 2], "keep": False}, (-1,)),
        ("sum", [(-1, 4, 5)], {"axes": [1], "keep": True}, (-1, 1, 5)),
    ],
)
def test_the_shape_is_what_the_reference_makes(op: str, shapes: Any, settings: Any, out: Dims) -> None:
    assert agrees(op, *shapes, **settings) == out


def test_a_gather_takes_the_shape_of_its_indices() -> None:
    assert shape_of(step("gather", axis=1), [(-1, 5, 3), (2, 2)]) == (-1, 2, 2, 3)


@given(
    sizes=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    window=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    ceil=st.booleans(),
    op=st.sampled_from(["max_pool", "avg_pool", "conv"]),
)
def test_windows_of_any_size_are_counted_as_torch_counts_them(
    sizes: Any, window: Any, stride: Any, padding: Any, ceil: bool, op: str
) -> None:
    image = torch.zeros(1, 2, *sizes)
    if op == "conv":
        how = {"stride": list(stride), "padding": list(padding), "dilation": [1, 2], "groups": 1}
        shapes: list[Dims] = [(-1, 2, *sizes), (3, 2, *window)]
        fits = all(n + 2 * p > d * (w - 1) for n, w, p, d in zip(sizes, window, padding, (1, 2), strict=True))
    else:
        assume(all(2 * p <= w for p, w in zip(padding, window, strict=True)))
        how = {"window": list(window), "stride": list(stride), "padding": list(padding), "ceil": ceil}
        shapes = [(-1, 2, *sizes)]
        fits = all(n + 2 * p >= w for n, w, p in zip(sizes, window, padding, strict=True))
    if not fits:
        with pytest.raises(ValueError, match="larger than its input"):
            shape_of(step(op, **how), shapes)
        return
    if op == "conv":
        made = F.conv2d(image, torch.zeros(3, 2, *window), None, stride, padding, (1, 2))
    elif op == "max_pool":
        made = F.max_pool2d(image, window, stride, padding, 1, ceil)
    else:
        made = F.avg_pool2d(image, window, stride, padding, ceil)
    assert shape_of(step(op, **how), shapes) == (-1, *made.shape[1:])


@pytest.mark.parametrize(
    ("op", "shapes", "settings", "said"),
    [
        ("add", [(-1, 4), (3,)], {}, "batch x 4 and 3 do not fit together"),
        ("add", [(-1, 4), (2, 1)], {}, "do not fit together"),
        ("add", [(-1, 1), (-1,)], {}, "grows with the batch in two ways"),
        ("add", [(-2, 4), (-1, 4)], {}, "2 batch x 4 and batch x 4 do not fit together"),
        ("reshape", [(-1, 4)], {"shape": [-1, 5]}, "batch x 4 cannot become batch x 5"),
        ("reshape", [(-1, 4)], {"shape": [4]}, "cannot become"),
        ("reshape", [(4,)], {"shape": [-4]}, "cannot become"),
        ("expand", [(-1, 4)], {"shape": [-1, 5]}, "cannot be spread"),
        ("expand", [(2, 4)], {"shape": [4]}, "cannot be spread"),
        ("expand", [(1, 1)], {"shape": [-1, -1]}, "grows with the batch in two ways"),
        ("permute", [(-1, 4)], {"axes": [0, 0]}, "is no order of the axes"),
        ("select", [(-1, 4)], {"axis": 0, "index": 0}, "axis 0 of its input of batch x 4 is the batch"),
        ("select", [(-1, 4)], {"axis": 1, "index": 4}, "has no place 4"),
        ("select", [(-1, 4)], {"axis": 2, "index": 0}, "has no axis 2"),
        ("slice", [(-1, 4)], {"axis": 0, "start": 1, "stop": None, "step": 1}, "is the batch"),
        ("slice", [(-1, 4)], {"axis": 1, "start": 4, "stop": None, "step": 1}, "nothing is left"),
        ("cat", [(-1, 4), (-1, 4, 1)], {"axis": 1}, "do not fit together on axis 1"),
        ("cat", [(-1, 4), (1, 4)], {"axis": 0}, "axis 0 is the batch in some of its inputs"),
        ("cat", [(-1, 4), (-1, 4)], {"axis": 2}, "do not fit together on axis 2"),
        ("pad", [(-1, 4)], {"around": [[1, 0], [0, 0]], "value": 0}, "is the batch"),
        ("pad", [(-1, 4)], {"around": [[0, 0]], "value": 0}, "it pads 1 axes"),
        ("pad", [(-1, 4)], {"around": [[0, 0], [2**31 - 1, 0]], "value": 0}, "has a size that is none"),
        ("roll", [(-1, 4)], {"by": [1], "axes": [0]}, "is the batch"),
        ("gather", [(-1, 4), (3,)], {"axis": 0}, "is the batch"),
        ("matmul", [(-1, 4), (4,)], {}, "cannot be multiplied"),
        ("matmul", [(-1, 4), (5, 4)], {}, "cannot be multiplied"),
        ("matmul", [(4, -1), (-1, 4)], {}, "cannot be multiplied"),
        ("matmul", [(-1, 4), (4, -1)], {}, "grows with the batch in two ways"),
        ("conv", [(-1, 4, 8), (6, 4, 3, 3)], WINDOW, "do not fit together"),
        ("conv", [(-1, 5, 8, 8), (6, 4, 3, 3)], WINDOW, "do not fit together"),
        ("conv", [(-1, 4, 8, 8), (5, 2, 3, 3)], {**WINDOW, "groups": 2}, "do not fit together"),
        ("conv", [(-1, 4, 1, 8), (6, 4, 9, 3)], WINDOW, "are larger than its input"),
        ("max_pool", [(-1, 4, 1, 8)], POOL, "its window is larger"),
        ("max_pool", [(-1, 8, 8)], POOL, "is no image"),
        ("softmax", [(-1, 4)], {"axis": 0}, "is the batch"),
        ("layer_norm", [(-1, 4)], {"axes": 2, "eps": 1e-6}, "is the batch"),
        ("layer_norm", [(-1, 4)], {"axes": 3, "eps": 1e-6}, "has no 3 axes"),
        ("layer_norm", [(-1, 4), (1,)], {"axes": 1, "eps": 1e-6}, "a parameter of 1 does not fit"),
        ("mean", [(-1, 4)], {"axes": [0], "keep": True}, "is the batch"),
        ("mean", [(-1, 4)], {"axes": [], "keep": True}, "are no axes"),
        ("mean", [(-1, 4)], {"axes": [1, 1], "keep": True}, "are no axes"),
        ("reshape", [(1,)], {"shape": [1] * 17}, "has 17 axes"),
    ],
)
def test_what_does_not_fit_is_said(op: str, shapes: Any, settings: Any, said: str) -> None:
    with pytest.raises(ValueError) as caught:
        shape_of(step(op, **settings), shapes)
    assert said in str(caught.value)


def test_shapes_are_spelled() -> None:
    assert [spelled(dims) for dims in ((-1, 3), (-4,), ())] == ["batch x 3", "4 batch", "one number"]
