"""The settings that each operation takes."""

from __future__ import annotations

from typing import Any

import pytest

from stillbit.deploy.file.check_settings import FORMS, check_settings
from stillbit.deploy.program import OPERATIONS, Step
from tests.deploy.programs import WINDOW, everything, reading

GRID = {"low": -2, "high": 1, "offset": 0.0}
POOL = {"window": [2, 2], "stride": [2, 2], "padding": [0, 0], "ceil": False}


def step(op: str, inputs: int, **settings: Any) -> Step:
    return Step(op=op, inputs=("x",) * inputs, output="y", settings=settings, layer="")


def test_every_operation_has_a_form() -> None:
    assert set(FORMS) == set(OPERATIONS)


def test_a_program_with_every_operation_passes() -> None:
    steps = (*everything().steps, *reading().steps)
    assert {each.op for each in steps} == set(OPERATIONS)
    for each in steps:
        check_settings(each)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (step("fold", 1), "no operation is called 'fold'"),
        (step("x" * 1000, 1), "no operation is called"),
        (step("relu", 2), "it takes in 2 values"),
        (step("cat", 0, axis=0), "it takes in 0 values"),
        (step("quantize", 3, **GRID), "it takes in 3 values"),
        (step("quantize", 1, low=-2, high=1), "it lacks the setting offset"),
        (step("quantize", 1, **GRID, bits=2), "it has no setting 'bits'"),
        (step("quantize", 1, **{**GRID, "low": -(2**20)}), "its setting low cannot be -1048576"),
        (step("quantize", 1, **{**GRID, "low": True}), "its setting low cannot be True"),
        (step("quantize", 1, **{**GRID, "low": 1.0}), "its setting low cannot be 1.0"),
        (step("quantize", 1, **{**GRID, "low": 2}), "its grid from 2 to 1 is empty"),
        (step("quantize", 1, **{**GRID, "offset": 0.25}), "its setting offset cannot be 0.25"),
        (step("level", 1, offset=float("nan")), "its setting offset cannot be nan"),
        (step("product", 2, offsets=[0.0]), "its setting offsets cannot be"),
        (step("product", 2, offsets=[0.0, [0.0]]), "its setting offsets cannot be"),
        (step("conv", 2, **{**WINDOW, "stride": [0, 1]}), "its setting stride cannot be"),
        (step("conv", 2, **{**WINDOW, "padding": [-1, 1]}), "its setting padding cannot be"),
        (step("conv", 2, **{**WINDOW, "groups": 0}), "its setting groups cannot be 0"),
        (step("conv", 2, **{**WINDOW, "offsets": [0, 0]}), "it has no setting 'offsets'"),
        (step("reshape", 1, shape=[0, 2]), "its setting shape cannot be"),
        (step("reshape", 1, shape=[2**31]), "its setting shape cannot be"),
        (step("reshape", 1, shape="ab"), "its setting shape cannot be 'ab'"),
        (step("reshape", 1, shape=[1] * 33), "its setting shape cannot be"),
        (step("permute", 1, axes=[-1, 0]), "its setting axes cannot be"),
        (step("slice", 1, axis=0, start=None, stop=None, step=1), "its setting start cannot be None"),
        (step("slice", 1, axis=0, start=0, stop=None, step=0), "its setting step cannot be 0"),
        (step("pad", 1, around=[[1]], value=0.0), "its setting around cannot be"),
        (step("pad", 1, around=[[1, 1]], value=float("inf")), "its setting value cannot be inf"),
        (step("roll", 1, by=[1], axes=[1, 2]), "it rolls other axes than it says"),
        (step("add", 1), "it takes a second value or a number"),
        (step("add", 2, by=1.0), "it takes a second value or a number"),
        (step("add", 1, by=1e39), "its setting by cannot be 1e[+]39"),
        (step("compare", 2, how="is"), "its setting how cannot be 'is'"),
        (step("compare", 2, how=[]), "its setting how cannot be"),
        (step("compare", 1, how="ge"), "it takes a second value or a number"),
        (step("clamp", 1), "it takes two more values or numbers"),
        (step("clamp", 1, low=None, high=None), "it takes two more values or numbers"),
        (step("clamp", 3, low=0.0), "it takes two more values or numbers"),
        (step("clamp", 1, low=1.0, high=0.0), "it takes two more values or numbers in order"),
        (step("gelu", 1, tanh=1), "its setting tanh cannot be 1"),
        (step("layer_norm", 1, axes=0, eps=1e-6), "its setting axes cannot be 0"),
        (step("layer_norm", 1, axes=1, eps=-1e-6), "its eps is negative"),
        (step("max_pool", 1, **{**POOL, "padding": [2, 0]}), "it pads more than half of its window"),
        (step("avg_pool", 1, **POOL), "it lacks the setting counts_padding"),
    ],
)
def test_what_an_operation_does_not_take_is_named(wrong: Step, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        check_settings(wrong)
    assert len(str(caught.value)) < 200
