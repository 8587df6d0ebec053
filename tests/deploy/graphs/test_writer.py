from __future__ import annotations

import numpy as np
import onnx
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.graphs.onnx_file import model_of
from stillbit.deploy.graphs.sides import Dialect
from stillbit.deploy.graphs.writer import Writer
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.run import run
from tests.deploy.graphs.walk import images, program_of


def ops(program: Program) -> list[str]:
    return [node.op_type for node in model_of(program, About(), Dialect())[0].graph.node]


def test_keys_are_turned_before_they_are_integers() -> None:
    done = ops(program_of("mini", "lsq", "w4a4"))
    at = [number for number, op in enumerate(done) if op == "Transpose"]
    assert all(done[number + 1] not in ("MatMul", "DequantizeLinear") for number in at)


def test_what_is_taken_out_of_a_permuted_tensor_is_taken_out_first() -> None:
    made = programs.Written(6, 3, 4)
    turned = made.add("permute", "input", axes=[2, 0, 3, 1])
    program = made.program(made.add("select", turned, axis=0, index=1))
    assert ops(program)[:2] == ["Gather", "Transpose"]
    x = images(program)
    np.testing.assert_array_equal(run(program, x), reference.run(program, x))


def test_constants_are_moved_while_writing() -> None:
    made = programs.Written(4)
    moved = made.add("permute", made.add("reshape", made.floats(2, 2, 2), shape=[2, 4]), axes=[1, 0])
    program = made.program(made.add("matmul", "input", moved))
    assert ops(program) == ["MatMul", "Identity"]
    x = images(program)
    np.testing.assert_allclose(run(program, x), reference.run(program, x), rtol=1e-6, atol=1e-6)


def test_codes_that_are_sliced_are_multiplied_as_floats() -> None:
    made = programs.Written(6, 8)
    part = made.add("slice", made.quantize("input"), axis=1, start=1, stop=4, step=1)
    program = made.program(made.add("product", part, made.codes(8, 5), offsets=[0.0, 0.0]))
    x = images(program)
    np.testing.assert_array_equal(run(program, x), reference.run(program, x))


def test_a_weight_that_only_is_stored_as_codes_is_stored_in_bytes() -> None:
    made = programs.Written(8)
    kernel = made.add("mul", made.add("level", made.codes(8, 3, offset=0.5), offset=0.5), made.floats(3))
    program = made.program(made.add("matmul", "input", kernel))
    x = images(program)
    np.testing.assert_allclose(run(program, x), reference.run(program, x), rtol=1e-5, atol=1e-6)
    model = model_of(program, About(), Dialect())[0]
    assert onnx.TensorProto.UINT8 in [held.data_type for held in model.graph.initializer]


@pytest.mark.parametrize("number", [1, 5])
def test_the_batch_is_of_any_size(number: int) -> None:
    program = program_of("mini", "vvtq", "w2a2")
    x = images(program, number)
    np.testing.assert_allclose(run(program, x), reference.run(program, x), rtol=0, atol=1e-5)


def test_nodes_are_named_after_their_layers() -> None:
    names = {node.name for node in Writer(program_of("mini", "lsq", "w4a4"), Dialect()).model(20).graph.node}
    assert {"blocks.0.attn.qkv/MatMul", "blocks.0.mlp.fc1/QuantizeLinear", "patch_embed.proj/ConvInteger"} <= names
