"""A code that differs is a tie where either is right, and wrong everywhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillbit.deploy.program import Constant, Grid, Input, Program, Step
from stillbit.deploy.proof.codes import EPSILON, ULPS, heard, walk

WEIGHT = np.array([[1, -1], [2, 0], [-2, 1]])


def program(offset: float = 0.0) -> Program:
    """Three numbers to codes, times a matrix of codes, times two, to codes again."""
    steps = (
        Step(
            op="quantize",
            inputs=("x", "s"),
            output="a",
            settings={"low": -8, "high": 7, "offset": 0.0},
            layer="first",
        ),
        Step(op="product", inputs=("a", "w"), output="p", settings={"offsets": [0.0, offset]}, layer="first"),
        Step(op="mul", inputs=("p",), output="m", settings={"by": 2.0}, layer="first"),
        Step(
            op="quantize",
            inputs=("m",),
            output="b",
            settings={"low": -128, "high": 127, "offset": 0.0},
            layer="second",
        ),
        Step(op="level", inputs=("b",), output="y", settings={"offset": 0.0}, layer="second"),
    )
    grid = Grid(low=-2, high=2, offset=offset)
    constants = {"s": Constant(array=np.ones(1, np.float32)), "w": Constant(array=WEIGHT, grid=grid)}
    return Program(inputs=(Input(name="x", dims=(-1, 3)),), output="y", steps=steps, constants=constants)


def images(*rows: tuple[float, float, float]) -> np.ndarray[Any, Any]:
    return np.array(rows, np.float32)


def own(x: np.ndarray[Any, Any], offset: float = 0.0) -> dict[str, list[Any]]:
    from stillbit.deploy.runtime.reference import Reference

    return heard(Reference(program(offset)).codes(x))


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_what_the_reference_says_itself_differs_nowhere(offset: float) -> None:
    x = images((1.2, -3.4, 0.5), (7.9, -9.0, 0.0))
    walked = walk(program(offset), x, own(x, offset))
    assert [(d.layer, d.what, d.integers, d.differ) for d in walked.differences] == [
        ("first", "codes", 6, 0),
        ("first", "sums", 4, 0),
        ("second", "codes", 4, 0),
    ]


def test_a_code_on_the_boundary_is_a_tie() -> None:
    x = images((0.5, 0.0, 0.0))
    theirs = own(x)
    assert theirs["a"][0][0, 0] == 0, "half to even"
    theirs["a"][0][0, 0] = 1
    first = walk(program(), x, theirs).differences[0]
    assert (first.differ, first.ties, first.wrong, first.largest, first.farthest) == (1, 1, 0, 0, 0.0)


@pytest.mark.parametrize(("steps", "tie"), [(0.5 * ULPS, True), (2.0 * ULPS, False)])
def test_how_near_to_the_boundary_is_near_enough(steps: float, tie: bool) -> None:
    x = images((0.5 + steps * EPSILON, 0.0, 0.0))
    theirs = own(x)
    assert theirs["a"][0][0, 0] == 1
    theirs["a"][0][0, 0] = 0
    first = walk(program(), x, theirs).differences[0]
    assert (first.differ, first.ties) == (1, int(tie))
    assert first.farthest == pytest.approx(steps * EPSILON, rel=0.1)


def test_nearness_grows_with_the_largest_value_since_float32_does() -> None:
    x = images((0.5 + 100 * EPSILON, 0.0, 5000.0))
    theirs = own(x)
    theirs["a"][0][0, 0] = 0
    assert walk(program(), x, theirs).differences[0].ties == 1


def test_two_codes_apart_is_wrong_wherever_it_lies() -> None:
    x = images((0.5, 0.0, 0.0))
    theirs = own(x)
    theirs["a"][0][0, 0] = 2
    first = walk(program(), x, theirs).differences[0]
    assert (first.differ, first.ties, first.largest) == (1, 0, 2)


def test_a_flip_does_not_count_again_behind_it() -> None:
    """The other side computes rightly on what it has, and the reference on its own codes would say otherwise."""
    x = images((0.5, 1.0, -1.0))
    flipped = {"a": [np.array([[1, 1, -1]])]}
    theirs = {**flipped, "p": [np.array([[1, 1, -1]]) @ WEIGHT], "b": [2 * (np.array([[1, 1, -1]]) @ WEIGHT)]}
    walked = walk(program(), x, theirs)
    assert [d.differ for d in walked.differences] == [1, 0, 0]
    assert not np.array_equal(walked.logits, walk(program(), x, {}).logits)
    assert np.array_equal(walked.logits, theirs["b"][0])


def test_sums_of_integers_have_no_ties() -> None:
    x = images((0.5, 1.0, -1.0))
    theirs = own(x)
    theirs["p"][0][0, 1] += 1
    sums = walk(program(), x, theirs).differences[1]
    assert (sums.what, sums.differ, sums.ties, sums.largest) == ("sums", 1, 0, 1)


def test_a_step_that_rounds_twice_in_training_is_compared_twice() -> None:
    x = images((1.0, 2.0, 3.0))
    theirs = {"a": [np.array([[1, 2, 3]]), np.array([[1, 2, 4]])]}
    assert [d.differ for d in walk(program(), x, theirs).differences] == [0, 1]


def test_what_is_no_number_is_no_tie() -> None:
    x = images((np.inf, 1.0, 1.0))
    theirs = {"a": [np.array([[3, 1, 1]])]}
    assert walk(program(), x, theirs).differences[0].wrong == 1


def test_integers_are_kept_in_as_few_bytes_as_hold_them() -> None:
    kept = heard([("a", np.array([255])), ("b", np.array([-40000])), ("b", np.array([2**40])), ("y", np.ones(1))])
    assert [each.dtype for name in kept for each in kept[name]] == [np.int16, np.int32, np.int64, np.float64]


def test_codes_of_another_shape_are_a_fault_of_the_engine() -> None:
    with pytest.raises(AssertionError, match="first: codes of shape"):
        walk(program(), images((1.0, 2.0, 3.0)), {"a": [np.zeros((1, 2), int)]})
