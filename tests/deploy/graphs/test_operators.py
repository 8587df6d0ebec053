from typing import Any

import numpy as np
import onnx
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs.onnx_file import model_of
from stillbit.deploy.graphs.operators import OPERATORS
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.program import FLOATS, INDICES, MOVES, Program
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.run import run


def close(program: Program, images: Any) -> None:
    want = reference.run(program, images)
    np.testing.assert_allclose(run(program, images), want, rtol=0, atol=1e-6 * max(1.0, float(np.abs(want).max())))


def test_every_operation_of_a_program_has_one_in_onnx() -> None:
    assert set(OPERATORS) == {*MOVES, *FLOATS, *INDICES}


@pytest.mark.parametrize("dialect", [Dialect(), Dialect(dense=True), Dialect(openvino=True)])
def test_what_is_written_is_a_model_whose_shapes_fit(dialect: Dialect) -> None:
    model, _ = model_of(programs.everything(), About(), dialect)
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    assert [d.dim_param or d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim] == ["batch", 4]
    assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.parametrize("number", [1, 5])
def test_every_operation_does_what_the_reference_does(number: int) -> None:
    images = np.random.default_rng(0).standard_normal((number, 3, 8, 8), dtype=np.float32)
    close(programs.everything(), images)


def one(op: str, *constants: Any, shape: tuple[int, ...] = (4, 6), **settings: Any) -> Program:
    made = programs.Written(*shape)
    x = made.add(op, "input", *(made.constant(each) for each in constants), **settings)
    return made.program(x)


WINDOW = {"window": [3, 3], "stride": [2, 2]}


@pytest.mark.parametrize(
    "program",
    [
        one("roll", by=[1, -2], axes=[1, 2]),
        one("roll", by=[0], axes=[1]),
        one("slice", axis=2, start=-3, stop=-1, step=1),
        one("slice", axis=1, start=0, stop=4, step=3),
        one("pad", around=[[0, 0], [1, 2], [0, 1]], value=0.5),
        one("gelu", tanh=True),
        one("clamp", low=None, high=0.5),
        one("clamp", low=-0.5, high=None),
        one("softmax", axis=1),
        one("layer_norm", np.ones((4, 6)), np.ones((4, 6)), axes=2, eps=1e-5),
        one("layer_norm", axes=1, eps=1e-5),
        one("gather", np.array([3, 0, 0]), axis=1),
        one("avg_pool", shape=(2, 7, 8), **WINDOW, padding=[1, 1], ceil=False, counts_padding=True),
        one("avg_pool", shape=(2, 7, 8), **WINDOW, padding=[1, 1], ceil=False, counts_padding=False),
        one("avg_pool", shape=(2, 7, 8), **WINDOW, padding=[0, 0], ceil=True, counts_padding=True),
        one("avg_pool", shape=(2, 7, 8), **WINDOW, padding=[1, 1], ceil=True, counts_padding=True),
        one("max_pool", shape=(2, 7, 8), **WINDOW, padding=[1, 1], ceil=True),
    ],
    ids=lambda program: f"{program.steps[0].op}{list(program.steps[0].settings.values())}",
)
def test_the_settings_of_an_operation_are_kept(program: Program) -> None:
    close(program, np.random.default_rng(1).standard_normal((3, *program.shape[1:]), dtype=np.float32))


def test_a_choice_may_be_known() -> None:
    made = programs.Written(4, 6)
    chosen = made.add("where", made.constant(np.array([[1, 0, 1, 0, 1, 0]])), "input", made.floats(4, 6))
    close(made.program(chosen), np.random.default_rng(1).standard_normal((3, 4, 6), dtype=np.float32))
