"""A folded program does less, and the same."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.fold import computed, fold, split
from stillbit.deploy.runtime.integer import Integer
from stillbit.deploy.tracing.trace import trace
from tests.deploy import programs, small
from tests.deploy.programs import Written


def operations(program: Program) -> Counter[str]:
    return Counter(step.op for step in program.steps)


def same(program: Program, x: np.ndarray) -> None:
    want = reference.run(program, x)
    np.testing.assert_allclose(Integer(program)(x), want, rtol=1e-6, atol=1e-6 * abs(want).max())


def test_what_stands_between_a_product_and_a_quantizer_is_one_pass() -> None:
    made = Written(8)
    x = made.add("product", made.quantize("input"), made.codes(8, 3), offsets=[0.0, 0.0])
    for op in ("mul", "add", "div", "sub"):
        x = made.add(op, x, made.floats(3, low=0.5, high=2.0))
    x = made.add("neg", made.add("mul", x, by=0.125))
    x = made.add("product", made.quantize(x), made.codes(3, 2), offsets=[0.0, 0.0])
    program = made.program(x)
    assert operations(fold(program)) == {"snap": 2, "accumulate": 2, "affine": 1}
    same(program, np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))


def test_a_constant_before_a_value_is_folded_as_well() -> None:
    made = Written(3)
    x = made.add("sub", made.floats(3), "input")
    x = made.add("div", made.floats(3), made.add("add", made.add("mul", made.floats(3), x), by=9.0))
    program = made.program(x)
    assert operations(fold(program)) == {"affine": 1, "div": 1}
    same(program, np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))


def test_a_constant_that_makes_a_value_larger_is_left_where_it_is() -> None:
    made = Written(1, 3)
    program = made.program(made.add("mul", made.add("add", "input", made.floats(5, 1)), made.floats(3)))
    assert operations(fold(program)) == {"add": 1, "affine": 1}
    same(program, np.random.default_rng(0).normal(size=(4, 1, 3)).astype(np.float32))


def test_constants_move_with_their_value() -> None:
    made = Written(4, 6)
    x = made.add("mul", made.add("level", made.quantize("input"), offset=0.0), made.floats(6))
    x = made.add("add", x, made.floats(4, 1))
    x = made.add("permute", made.add("reshape", x, shape=[-1, 4, 2, 3]), axes=[2, 0, 1, 3])
    x = made.add("roll", made.add("select", x, axis=0, index=1), by=[1], axes=[1])
    program = made.program(made.add("slice", x, axis=2, start=1, stop=3, step=1))
    assert operations(fold(program))["affine"] == 1
    same(program, np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32))


def test_a_constant_that_would_differ_between_the_images_of_a_batch_is_done_before() -> None:
    made = Written(4, 6)
    x = made.add("add", made.add("mul", "input", made.floats(4, 1)), made.floats(6))
    program = made.program(made.add("reshape", made.add("reshape", x, shape=[-4, 6]), shape=[-1, 24]))
    assert [step.op for step in fold(program).steps] == ["affine", "reshape", "reshape"]
    same(program, np.random.default_rng(0).normal(size=(5, 4, 6)).astype(np.float32))


def test_sums_of_products_are_one_pass_each() -> None:
    made = Written(8)
    codes = made.quantize("input")
    parts = []
    for _ in range(3):
        summed = made.add("product", codes, made.codes(8, 3), offsets=[0.0, 0.0])
        parts.append(made.add("mul", summed, made.floats(1)))
    x = made.add("sub", made.add("add", parts[0], parts[1]), parts[2])
    program = made.program(made.add("add", x, made.floats(3)))
    assert operations(fold(program)) == {"snap": 1, "accumulate": 3, "join": 2, "affine": 1}
    same(program, np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))


def test_what_is_read_in_two_ways_is_drawn_once() -> None:
    made = Written(3)
    x = made.add("add", made.add("mul", "input", by=2.0), by=1.0)
    program = made.program(made.add("mul", made.add("gelu", x, tanh=False), made.add("softmax", x, axis=1)))
    assert operations(fold(program))["affine"] == 1
    same(program, np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))


def test_a_step_on_constants_is_done_before_any_image_comes() -> None:
    made = Written(4)
    shift = made.add("reshape", made.add("expand", made.floats(1, 2), shape=[2, 2]), shape=[4])
    weight = made.add("permute", made.codes(3, 4), axes=[1, 0])
    x = made.add("product", made.quantize(made.add("add", "input", shift)), weight, offsets=[0.0, 0.0])
    program = made.program(x)
    done = computed(program)
    assert operations(done) == {"add": 1, "quantize": 1, "product": 1}
    assert done.constants[weight].grid is not None
    images = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    np.testing.assert_array_equal(reference.run(done, images), reference.run(program, images))


def test_a_product_in_two_steps_is_a_product() -> None:
    program = programs.everything()
    done = split(program)
    assert operations(done)["accumulate"] == operations(program)["product"]
    assert operations(done)["windows"] == operations(program)["convolution"]
    assert operations(done)["product"] == operations(done)["convolution"] == 0


@pytest.mark.parametrize(("method", "ceiling"), [("lsq", 46), ("vvtq", 53), ("ofq", 60)])
def test_a_block_needs_no_more_passes_than_it_did(method: str, ceiling: int) -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), method, "w4a4", x), x[:2])
    folded = fold(computed(program))
    assert len(folded.steps) <= ceiling
    assert not {"quantize", "product", "convolution", "level"} & set(operations(folded))
    assert operations(folded)["div"] == 0
    assert operations(folded)["mul"] == (method == "ofq")  # a sum of probabilities, by what values were shifted by


def test_folding_keeps_the_constants_it_was_given() -> None:
    x = small.images()
    program = trace(small.trained(small.vit(), "ofq", "w4a4", x), x[:2])
    before = {name: held.array.copy() for name, held in program.constants.items()}
    fold(program)
    assert before.keys() == program.constants.keys()
    assert all(np.array_equal(before[name], held.array) for name, held in program.constants.items())
    torch.testing.assert_close(
        torch.tensor(Integer(program)(x.numpy())), torch.tensor(reference.run(program, x.numpy()))
    )
