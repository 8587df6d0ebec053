"""What operations on codes mean, by hand and against torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from stillbit.deploy.program import Constant, Grid, Input, Program, Step
from stillbit.deploy.runtime import reference


def test_halves_round_to_even_and_bounds_hold() -> None:
    x = np.array([-9.0, -1.5, -0.5, 0.5, 1.5, 2.5, 9.0], np.float32)
    codes = reference.quantize(x, np.float32(1), low=-2, high=3, offset=0.0)
    assert codes.tolist() == [-2, -2, 0, 0, 2, 2, 3]


def test_a_mid_rise_code_stands_for_a_half_more() -> None:
    codes = reference.quantize(
        np.array([-3.0, -0.2, 0.2, 0.9], np.float32), np.float32(0.5), low=-2, high=1, offset=0.5
    )
    assert codes.tolist() == [-2, -1, 0, 1]
    assert reference.level(codes, offset=0.5).tolist() == [-1.5, -0.5, 0.5, 1.5]


def test_heads_may_have_bounds_of_their_own() -> None:
    x = np.full((2, 1), 9.0, np.float32)
    bounds = np.array([[-2.0], [-8.0]]), np.array([[1.0], [7.0]])
    assert reference.quantize(x, np.float32(1), *bounds, low=-8, high=7, offset=0.0).tolist() == [[1], [7]]


@pytest.mark.parametrize("offsets", [[0.0, 0.0], [0.0, 0.5], [0.5, 0.5]])
def test_a_product_of_codes_is_exact_at_the_largest_sums(offsets: list[float]) -> None:
    a, b = np.full((1, 4096), 255), np.full((4096, 1), -128)
    want = 4096 * (255 + offsets[0]) * (-128 + offsets[1])
    assert reference.product(a, b, offsets=offsets).item() == np.float32(want)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_of_codes_is_torchs(groups: int) -> None:
    draw = np.random.default_rng(0)
    image, kernel = draw.integers(-8, 8, (2, 4, 7, 6)), draw.integers(-2, 2, (6, 4 // groups, 3, 2))
    how = {"stride": [2, 1], "padding": [1, 2], "dilation": [1, 2], "groups": groups}
    want = F.conv2d(torch.tensor(image) + 0.0, torch.tensor(kernel) + 0.5, None, *how.values())
    assert (reference.convolution(image, kernel, offsets=[0.0, 0.5], **how) == want.numpy()).all()


def test_what_is_not_read_again_is_forgotten_and_every_step_is_shown() -> None:
    codes = Constant(array=np.array([[1], [2]]), grid=Grid(low=-2, high=3))
    steps = (
        Step(op="quantize", inputs=("x",), output="a", settings={"low": -8, "high": 7, "offset": 0.0}, layer="one"),
        Step(op="product", inputs=("a", "w"), output="y", settings={"offsets": [0.0, 0.0]}, layer="one"),
    )
    program = Program(inputs=(Input(name="x", dims=(-1, 2)),), output="y", steps=steps, constants={"w": codes})
    x = np.array([[1.2, -3.0], [0.0, 99.0]], np.float32)
    assert reference.run(program, x).tolist() == [[-5.0], [14.0]]
    first, inputs, codes_of_x = next(reference.steps(program, x))
    assert first.output == "a" and codes_of_x.tolist() == [[1, -3], [0, 7]]
    assert len(inputs) == 1 and (inputs[0] == x).all()


def two_products() -> Program:
    weight = Constant(array=np.array([[1, -2], [0, 1]], np.int8), grid=Grid(low=-2, high=1, offset=0.5))
    quantize = {"low": -2, "high": 1, "offset": 0.0}
    steps = (
        Step(op="quantize", inputs=("x",), output="a", settings=quantize, layer="one"),
        Step(op="product", inputs=("a", "w"), output="p", settings={"offsets": [0.0, 0.5]}, layer="one"),
        Step(op="quantize", inputs=("p",), output="b", settings=quantize, layer="two"),
        Step(op="product", inputs=("b", "w"), output="y", settings={"offsets": [0.0, 0.5]}, layer="two"),
    )
    return Program(inputs=(Input(name="x", dims=(-1, 2)),), output="y", steps=steps, constants={"w": weight})


def test_it_shows_codes_and_exact_sums() -> None:
    engine, x = reference.Reference(two_products()), np.array([[1.0, -2.0]], np.float32)
    shown = {name: values.tolist() for name, values in engine.codes(x)}
    # 1 x (2 * 1 + 1) - 2 x (2 * 0 + 1) and 1 x (2 * -2 + 1) - 2 x (2 * 1 + 1): twice the product
    assert shown == {"a": [[1, -2]], "p": [[1, -9]], "b": [[0, -2]], "y": [[-2, -6]]}
    assert engine.name == "reference" and engine(x).tolist() == [[-1.0, -3.0]]


def test_it_shows_its_own_codes_and_goes_on_with_those_that_are_forced() -> None:
    engine, x = reference.Reference(two_products()), np.array([[1.0, -2.0]], np.float32)
    shown = {name: values.tolist() for name, values in engine.codes(x, {"b": np.array([[1, 1]])})}
    assert shown["b"] == [[0, -2]] and shown["y"] == [[4, 0]]


def test_what_is_rounded_can_be_seen() -> None:
    x, scale = np.array([1.0, 3.0], np.float32), np.array([0.5], np.float32)
    seen = reference.before(x, scale, offset=0.5)
    assert seen.dtype == np.float32 and seen.tolist() == [1.5, 5.5]


def test_it_needs_numpy_alone() -> None:
    words = "import sys, stillbit.deploy.runtime.reference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", words], check=False).returncode == 0
