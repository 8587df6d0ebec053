"""What the constants of a program hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stillbit.deploy.file.check import check
from stillbit.deploy.file.check_values import check_constant
from stillbit.deploy.program import Constant, Grid, Program
from tests.deploy.programs import Written


def quantized(scale: Any, *bounds: Any, moved: bool = False) -> Program:
    """A program that quantizes its input by these, perhaps after these were moved about."""
    made = Written(4)
    names = [made.constant(np.asarray(each, np.float32)) for each in (scale, *bounds)]
    if moved:
        names = [made.add("reshape", made.add("expand", name, shape=[2, 2]), shape=[4]) for name in names]
    codes = made.add("quantize", "input", *names, low=-2, high=1, offset=0.0)
    return made.program(made.add("level", codes, offset=0.0))


@pytest.mark.parametrize("moved", [False, True])
def test_scales_above_zero_and_bounds_on_the_grid_pass(moved: bool) -> None:
    check(quantized([0.1], moved=moved))
    check(quantized([1e-40], [-2.0], [0.0], moved=moved))


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize(
    ("constants", "said"),
    [
        (([0.0],), "is not above zero and finite"),
        (([-1.0],), "is not above zero and finite"),
        (([np.inf],), "is not above zero and finite"),
        (([np.nan],), "has a NaN in it"),
        (([1.0], [-3.0], [0.0]), "is not made of codes of its grid"),
        (([1.0], [-2.0], [2.0]), "is not made of codes of its grid"),
        (([1.0], [-0.5], [0.0]), "is not made of codes of its grid"),
        (([1.0], [-np.inf], [0.0]), "is not made of codes of its grid"),
    ],
)
def test_a_scale_or_a_bound_that_is_none_is_said(moved: bool, constants: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check(quantized(*constants, moved=moved))


def test_one_bad_scale_among_many_is_seen() -> None:
    check(quantized([0.1, 0.2, 0.3, 0.4]))
    with pytest.raises(ValueError, match=r"step 0 \(quantize of body\): its scale c0 is not above zero"):
        check(quantized([0.1, 0.2, -0.0, 0.4]))


def test_a_scale_that_the_input_makes_is_refused() -> None:
    made = Written(4)
    codes = made.add("quantize", "input", made.add("abs", "input"), low=-2, high=1, offset=0.0)
    with pytest.raises(ValueError, match="its scale or a bound is not constant"):
        check(made.program(made.add("level", codes, offset=0.0)))


def test_a_moved_scale_that_meets_a_zero_is_refused() -> None:
    made = Written(4)
    scale = made.add("pad", made.floats(2, low=0.1), around=[[1, 1]], value=0.0)
    codes = made.add("quantize", "input", scale, low=-2, high=1, offset=0.0)
    with pytest.raises(ValueError, match="is not above zero"):
        check(made.program(made.add("level", codes, offset=0.0)))


@pytest.mark.parametrize(("index", "fits"), [([0, 3], True), ([-1, 3], False), ([0, 4], False), ([2**40], False)])
def test_indices_point_to_what_is_there(index: list[int], fits: bool) -> None:
    made = Written(4)
    taken = made.add("gather", "input", made.constant(np.array(index)), axis=1)
    if fits:
        check(made.program(taken))
    else:
        with pytest.raises(ValueError, match=r"step 0 \(gather of body\): its indices go from .* and there are 4"):
            check(made.program(taken))


def test_indices_that_are_floats_are_refused() -> None:
    made = Written(4)
    with pytest.raises(ValueError, match="its second input is no indices"):
        check(made.program(made.add("gather", "input", made.floats(3), axis=1)))


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (Constant(array=np.array([0, 4]), grid=Grid(low=0, high=3)), "constant c has codes outside of 0 to 3"),
        (Constant(array=np.array([-1, 3]), grid=Grid(low=0, high=3)), "constant c has codes outside of 0 to 3"),
        (Constant(array=np.empty((2, 0), np.float32)), "constant c is empty"),
        (Constant(array=np.array([1, np.nan, 2], np.float32)), "constant c has a NaN"),
    ],
)
def test_a_constant_that_cannot_be_one_is_said(held: Constant, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_constant("c", held)


def test_masks_may_be_infinite() -> None:
    span = check_constant("c", Constant(array=np.array([0, -np.inf], np.float32)))
    assert (span.low, span.high, span.whole) == (-np.inf, 0.0, False)


def test_choices_from_a_constant_are_yes_or_no() -> None:
    for cond, fits in (([0, 1, 1, 0], True), ([0, 2, 1, 0], False)):
        made = Written(4)
        chosen = made.add("where", made.constant(np.array(cond)), "input", made.floats(4))
        if fits:
            check(made.program(chosen))
        else:
            with pytest.raises(ValueError, match="its choices are not 0 and 1"):
                check(made.program(chosen))
