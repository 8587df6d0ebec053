"""Codes move instead of floats, and a layer norm takes in what follows it."""

from __future__ import annotations

import numpy as np

from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.fold import fold
from stillbit.deploy.runtime.fold_passes import narrow
from stillbit.deploy.runtime.integer import Integer
from tests.deploy.programs import Written


def order(program: Program) -> list[str]:
    return [step.op for step in fold(program).steps]


def same(program: Program, *shape: int) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    want = dict(reference.Reference(program).codes(x))
    got = dict(Integer(program).codes(x))
    assert list(got) == list(want)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def of_levels(made: Written, *codes: str) -> Program:
    return made.program(made.add("cat", *(made.add("level", each, offset=0.0) for each in codes), axis=1))


def test_queries_keys_and_values_are_rounded_in_one_pass_with_their_own_scales() -> None:
    made = Written(5, 12)
    x = made.add("add", made.add("mul", "input", made.floats(12)), made.floats(12))
    x = made.add("permute", made.add("reshape", x, shape=[-1, 5, 3, 2, 2]), axes=[2, 0, 3, 1, 4])
    parts = [made.quantize(made.add("select", x, axis=0, index=i), 0.1 * (i + 1), low=-8, high=7) for i in range(3)]
    program = of_levels(made, *parts)
    assert order(program)[:6] == ["snap", "reshape", "permute", "select", "select", "select"]
    assert order(program).count("snap") == 1
    same(program, 3, 5, 12)


def test_a_shift_a_head_moves_along() -> None:
    made = Written(5, 12)
    x = made.add("permute", made.add("reshape", "input", shape=[-1, 5, 3, 4]), axes=[0, 2, 1, 3])
    program = of_levels(made, made.quantize(made.add("add", x, made.floats(3, 1, 4))))
    assert order(program) == ["snap", "reshape", "permute", "affine", "cat"]
    same(program, 3, 5, 12)


def test_one_token_of_many_is_taken_out_before_it_is_rounded() -> None:
    made = Written(5, 4)
    program = of_levels(made, made.quantize(made.add("select", "input", axis=1, index=0)))
    assert order(program)[:2] == ["select", "snap"]
    same(program, 3, 5, 4)


def test_parts_on_several_grids_are_rounded_apart() -> None:
    made = Written(6)
    halves = [made.add("slice", "input", axis=1, start=start, stop=start + 3, step=1) for start in (0, 3)]
    program = of_levels(made, made.quantize(halves[0]), made.quantize(halves[1], low=-8, high=7))
    assert order(program).count("snap") == 2
    same(program, 3, 6)


def test_a_part_that_is_rounded_twice_is_rounded_twice() -> None:
    made = Written(6)
    half = made.add("slice", "input", axis=1, start=0, stop=3, step=1)
    program = of_levels(made, made.quantize(half), made.quantize(half, 0.7))
    assert order(program).count("snap") == 2
    same(program, 3, 6)


def test_bounds_a_head_stay_where_they_are() -> None:
    made = Written(5, 6)
    x = made.add("permute", made.add("reshape", "input", shape=[-1, 5, 3, 2]), axes=[0, 2, 1, 3])
    ends = (
        made.constant([0.3]),
        made.constant([[[-1.0]], [[-2.0]], [[-4.0]]]),
        made.constant([[[0.0]], [[1.0]], [[3.0]]]),
    )
    codes = made.add("quantize", x, *ends, low=-4, high=3, offset=0.0)
    program = of_levels(made, codes)
    assert order(program)[:3] == ["reshape", "permute", "snap"]
    same(program, 3, 5, 6)


def test_a_layer_norm_divides_by_the_scale_of_the_quantizer_behind_it() -> None:
    made = Written(5, 6)
    x = made.add("layer_norm", "input", made.floats(6), made.floats(6), axes=1, eps=1e-6)
    x = made.quantize(made.add("add", x, made.floats(6)))
    program = of_levels(made, x)
    folded = fold(program)
    (snap,) = (step for step in folded.steps if step.op == "snap")
    assert snap.settings["has"] == [False, False] and len(snap.inputs) == 1
    same(program, 3, 5, 6)


def test_a_layer_norm_without_parameters_gets_some() -> None:
    made = Written(5, 6)
    program = of_levels(made, made.quantize(made.add("layer_norm", "input", axes=1, eps=1e-6)))
    assert [len(step.inputs) for step in fold(program).steps][:2] == [3, 1]
    same(program, 3, 5, 6)


def test_a_layer_norm_that_others_read_or_a_scale_a_token_stays_apart() -> None:
    made = Written(5, 6)
    x = made.add("layer_norm", "input", made.floats(6), made.floats(6), axes=1, eps=1e-6)
    a_token = made.add("quantize", x, made.floats(5, 1, low=0.1, high=0.2), low=-8, high=7, offset=0.0)
    program = of_levels(made, a_token)
    assert fold(program).steps[1].settings["has"] == [True, False]
    same(program, 3, 5, 6)
    both = of_levels(made, a_token, made.quantize(x))
    assert all(step.settings["has"][0] for step in fold(both).steps if step.op == "snap")
    same(both, 3, 5, 6)


def test_what_repeats_along_an_axis_is_kept_once() -> None:
    array = np.arange(3.0)[:, None, None] + np.zeros((3, 4, 1))
    assert narrow(array).shape == (3, 1, 1) and narrow(np.ones((2, 2))).shape == (1, 1)
    assert narrow(array.transpose(1, 0, 2)).tolist() == [[[0.0], [1.0], [2.0]]]
