"""Steps as functions: lines, moves, and what is known before an image comes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stillbit.deploy.program import Constant, Grid, Step
from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.integer_steps import Known, ends_of, line, prepared, tensor_of
from tests.deploy import programs

NOTHING = Known(constants={}, ends={}, terms={})


@pytest.mark.parametrize("kind", [torch.float32, torch.int32, torch.int8])
@pytest.mark.parametrize("scale", [1.0, 0.5, torch.tensor([0.5, 2.0, -1.0]), torch.tensor([[0.5], [2.0]])])
@pytest.mark.parametrize("shift", [0.0, 0.25, torch.tensor([0.5, 2.0, -1.0]), torch.tensor([[0.5], [2.0]])])
def test_a_line_is_a_product_and_a_sum_in_a_tensor_of_its_own(kind: torch.dtype, scale: Any, shift: Any) -> None:
    x = torch.tensor([[1, -2, 3], [4, 5, -6]], dtype=kind)
    before = x.clone()
    drawn = line(x, scale, shift)
    assert drawn.dtype == torch.float32 and torch.equal(drawn, x.float() * scale + shift)
    drawn.zero_()
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ("op", "settings"),
    [
        ("reshape", {"shape": [-3, 8]}),
        ("expand", {"shape": [-1, 3, 2, 4]}),
        ("permute", {"axes": [0, 3, 1, 2]}),
        ("select", {"axis": 1, "index": 2}),
        ("slice", {"axis": 2, "start": 1, "stop": None, "step": 1}),
        ("slice", {"axis": 3, "start": -3, "stop": -1, "step": 2}),
        ("cat", {"axis": 1}),
        ("pad", {"around": [[0, 0], [0, 0], [1, 0], [0, 2]], "value": 3.0}),
        ("roll", {"by": [1, -1], "axes": [1, 3]}),
        ("gather", {"axis": 3}),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.int8])
def test_elements_are_moved_as_the_reference_does(op: str, settings: dict[str, Any], kind: Any) -> None:
    x = np.arange(48).astype(kind).reshape(2, 3, 2, 4)
    inputs = [x, np.array([[3, 1], [0, 0]])] if op == "gather" else [x, x] if op == "cat" else [x]
    step = Step(op=op, inputs=tuple("ab"[: len(inputs)]), output="c", settings=settings, layer="")
    ready = prepared(step, NOTHING, exact=True)
    values = [2 if name == "" else torch.from_numpy(inputs["ab".index(str(name))]) for name in ready.inputs]
    whole = (
        {**settings, "shape": [-2 * s if s < 0 else s for s in settings["shape"]]} if "shape" in settings else settings
    )
    np.testing.assert_array_equal(ready.run(*values).numpy(), reference.OPERATIONS[op](*inputs, **whole))


def test_indices_are_the_references_whatever_the_floats_are() -> None:
    x = np.array([[-3.0, 0.0, 2.0, 7.0, np.nan, np.inf, -np.inf, 1.0]], np.float32)
    for op, settings, given in (("index", {"size": 5}, x), ("number", {}, np.array([[3, 0, 1]]))):
        ready = prepared(Step(op=op, inputs=("a",), output="b", settings=settings, layer=""), NOTHING, exact=True)
        made = ready.run(torch.from_numpy(given)).numpy()
        want = reference.OPERATIONS[op](given, **settings)
        assert made.dtype == want.dtype
        np.testing.assert_array_equal(made, want)


def test_constants_are_as_small_as_their_grid() -> None:
    codes = np.array([[1, -2]])
    assert tensor_of(Constant(array=codes, grid=Grid(low=-2, high=1))).dtype == torch.int8
    assert tensor_of(Constant(array=codes + 2, grid=Grid(low=0, high=255))).dtype == torch.uint8
    assert tensor_of(Constant(array=codes)).dtype == torch.int64
    assert tensor_of(Constant(array=codes.astype(np.float32))).dtype == torch.float32


def test_the_ends_of_codes_follow_them_wherever_they_move() -> None:
    made = programs.Written(4)
    narrow, wide = made.quantize("input", low=-2, high=1), made.quantize("input", low=0, high=15)
    both = made.add("cat", made.add("reshape", narrow, shape=[-1, 4]), wide, axis=1)
    program = made.program(made.add("level", both, offset=0.0))
    ends = ends_of(program)
    assert ends[narrow] == (-2, 1) and ends[wide] == (0, 15) and ends[both] == (-2, 15)
    assert "input" not in ends and program.output not in ends
