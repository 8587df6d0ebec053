"""Constants as small as the steps that spread them allow."""

from __future__ import annotations

import numpy as np
import pytest

from stillbit.deploy.program import Constant, Dims, Input, Program, Step
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.repeats import narrowed, shrunk


@pytest.mark.parametrize(
    ("shape", "other", "output", "left"),
    [
        ((1, 4, 3), (-1, 4, 3), (-1, 4, 3), (1,)),
        ((4, 3), (-1, 4, 1), (-1, 4, 3), (3,)),  # it is the constant that makes three of one
        ((1, 1, 4, 3), (4, 3), (1, 1, 4, 3), (1, 1, 1, 1)),  # and here it gives the rank
        ((), (-1, 3), (-1, 3), (1,)),
    ],
)
def test_an_axis_along_which_all_is_the_same_has_length_one(shape: Dims, other: Dims, output: Dims, left: Dims) -> None:
    assert narrowed(np.full(shape, 2.5, np.float32), [other], output).shape == left


def test_what_differs_stays_and_so_does_the_sign_of_zero() -> None:
    rows = np.array([[1, 1, 1], [2, 2, 2]], np.float32)
    assert narrowed(rows, [(-1, 2, 3)], (-1, 2, 3)).tolist() == [[1], [2]]
    zeros = np.array([0.0, -0.0], np.float32)
    assert narrowed(zeros, [(-1, 2)], (-1, 2)).shape == (2,)


def test_parameters_of_a_norm_stay_whole() -> None:
    ones = Constant(array=np.ones(3, np.float32))
    steps = (
        Step(op="layer_norm", inputs=("x", "c", "c"), output="n", settings={"axes": 1, "eps": 1e-5}, layer=""),
        Step(op="mul", inputs=("n", "c"), output="y", settings={}, layer=""),
    )
    program = Program(inputs=(Input(name="x", dims=(-1, 3)),), output="y", steps=steps, constants={"c": ones})
    small, x = shrunk(program), np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)
    assert {held.array.shape for held in small.constants.values()} == {(3,), (1,)}
    assert (reference.run(small, x) == reference.run(program, x)).all()
