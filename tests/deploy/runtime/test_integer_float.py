"""Floats exactly as the reference has them, and quickly nearly so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stillbit.deploy.program import FLOATS
from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.integer_float import EXACT, QUICK, quantize, settled

WINDOW: dict[str, Any] = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 1], "groups": 1}
POOL: dict[str, Any] = {"window": [3, 2], "stride": [2, 2], "padding": [1, 0], "ceil": True}
CASES: dict[str, tuple[tuple[tuple[int, ...], ...], dict[str, Any]]] = {
    **dict.fromkeys(("add", "sub", "mul", "div", "matmul"), (((3, 4, 4), (4, 4)), {})),
    "compare": (((3, 4), (3, 4)), {"how": "gt"}),
    "where": (((3, 4), (3, 4), (1, 4)), {}),
    "clamp": (((3, 4),), {"low": -0.5, "high": 0.25}),
    "gelu": (((50, 40),), {"tanh": False}),
    "softmax": (((5, 6, 7),), {"axis": 1}),
    "cumsum": (((5, 6, 7),), {"axis": 1}),
    "layer_norm": (((5, 6, 7), (6, 7), (6, 7)), {"axes": 2, "eps": 1e-6}),
    **dict.fromkeys(("mean", "sum", "max", "norm"), (((5, 6, 7),), {"axes": [0, 2], "keep": False})),
    "conv": (((2, 3, 7, 6), (4, 3, 3, 2)), WINDOW),
    "max_pool": (((2, 3, 7, 6),), POOL),
    "avg_pool": (((2, 3, 7, 6),), {**POOL, "counts_padding": False}),
}
MORE = [
    ("add", ((3, 4),), {"by": 0.1}),
    ("div", ((3, 4),), {"by": 0.3}),
    ("compare", ((3, 4),), {"how": "le", "by": 0.1}),
    ("compare", ((3, 4),), {"how": "ne", "by": 0.1}),
    ("compare", ((3, 4), (1, 4)), {"how": "eq"}),
    ("clamp", ((3, 4),), {"low": 0.0, "high": None}),
    ("clamp", ((3, 4), (3, 1), (3, 1)), {}),
    ("gelu", ((50, 40),), {"tanh": True}),
    ("layer_norm", ((5, 6),), {"axes": 1, "eps": 1e-6}),
    ("sum", ((5, 6, 7),), {"axes": [1], "keep": True}),
    ("avg_pool", ((2, 3, 7, 6),), {**POOL, "counts_padding": True}),
]


@pytest.mark.parametrize(
    ("op", "shapes", "settings"), [*((op, *CASES.get(op, (((40, 50),), {}))) for op in FLOATS), *MORE]
)
def test_an_operation_is_the_references(op: str, shapes: Any, settings: Any) -> None:
    draw = np.random.default_rng(0)
    inputs = [draw.uniform(-2, 2, shape).astype(np.float32) for shape in shapes]
    if op in ("sqrt", "rsqrt"):
        inputs = [abs(x) + 0.1 for x in inputs]
    if op == "where":
        inputs[0] = inputs[0] > 0
    if op == "clamp" and len(inputs) > 1:
        inputs[1], inputs[2] = -abs(inputs[1]), abs(inputs[2])
    want = reference.OPERATIONS[op](*inputs, **settings)
    tensors = [torch.from_numpy(x) for x in inputs]
    exact, quick = (table[op](*tensors, **settings).numpy() for table in (EXACT, QUICK))
    assert exact.dtype == want.dtype
    np.testing.assert_array_equal(exact, want)
    np.testing.assert_allclose(quick, want, rtol=2e-6, atol=2e-6)
    for tensor, x in zip(tensors, inputs, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), x, err_msg="what it was given")


def test_every_float_operation_is_there() -> None:
    assert set(EXACT) == set(QUICK) == set(FLOATS)


def test_a_number_is_divided_by_and_not_multiplied_with_its_reciprocal() -> None:
    x = torch.arange(1, 10001, dtype=torch.float32)
    want = x.numpy() / np.float32(0.3)
    assert (want != x.numpy() * np.float32(1 / np.float32(0.3))).any()
    np.testing.assert_array_equal(EXACT["div"](x, by=0.3).numpy(), want)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_codes_are_the_references(offset: float) -> None:
    x = np.linspace(-3, 3, 4001).astype(np.float32)
    scale = np.float32([0.3])
    for bounds in ((), (np.float32([-1.0]), np.float32([2.0]))):
        want = reference.quantize(x, scale, *bounds, low=-4, high=3, offset=offset)
        given = [torch.from_numpy(each) for each in (x, scale, *bounds)]
        np.testing.assert_array_equal(quantize(*given, low=-4, high=3, offset=offset).numpy(), want)
    without = quantize(torch.from_numpy(x), low=-2, high=1, offset=offset).numpy()
    np.testing.assert_array_equal(without, reference.quantize(x, low=-2, high=1, offset=offset))


def test_what_is_settled_is_a_code() -> None:
    assert settled(torch.tensor([-9.0, 0.5, 1.5, 9.0]), low=-2, high=3).tolist() == [-2, 0, 2, 3]
