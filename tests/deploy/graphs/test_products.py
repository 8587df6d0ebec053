"""That products of codes are what runtimes compute in integers: their own word for it, in what they really run."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from tests.deploy import programs
from tests.deploy.graphs.run import optimized, run
from tests.deploy.graphs.walk import FAMILIES, GRID, QUICK, program_of

INTEGERS = ("MatMulIntegerToFloat", "QLinearMatMul", "QGemm", "ConvInteger", "QLinearConv")
FLOATS = ("MatMul", "FusedMatMul", "Gemm", "Conv", "FusedConv")


def products(program: Program) -> tuple[int, int]:
    """How many of codes, and how many of floats, as OFQ's shifts add them."""
    done = Counter(step.op for step in program.steps)
    return done["product"] + done["convolution"], done["matmul"] + done["conv"]


@pytest.mark.parametrize("plain", [False, True], ids=["options", "defaults"])
@pytest.mark.parametrize(("name", "method", "bits"), QUICK)
def test_onnxruntime_computes_every_product_of_codes_in_integers(
    name: str, method: str, bits: str, plain: bool
) -> None:
    program = program_of(name, method, bits)
    found = optimized(program, plain=plain)
    assert (sum(found[op] for op in INTEGERS), sum(found[op] for op in FLOATS)) == products(program)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "method", "bits"), [*GRID, *FAMILIES])
def test_onnxruntime_does_so_in_every_family(name: str, method: str, bits: str) -> None:
    program = program_of(name, method, bits)
    found = optimized(program)
    assert (sum(found[op] for op in INTEGERS), sum(found[op] for op in FLOATS)) == products(program)


def sums(low: int, high: int, weight: tuple[int, int, float], scale: tuple[int, ...] | None = None) -> Program:
    """All codes of a grid by all of another."""
    made = programs.Written(40)
    codes = made.add("quantize", "input", made.constant([0.5]), low=low, high=high, offset=0.0)
    kernel = made.codes(40, 7, low=weight[0], high=weight[1], offset=weight[2])
    summed = made.add("product", codes, kernel, offsets=[0.0, weight[2]])
    return made.program(summed if scale is None else made.add("mul", summed, made.floats(*scale)))


@pytest.mark.parametrize("activation", [(-128, 127), (0, 255), (-8, 7), (0, 1)])
@pytest.mark.parametrize("weight", [(-128, 127, 0.0), (-128, 127, 0.5), (-2, 1, 0.5), (0, 255, 0.0), (-1, 0, 0.5)])
def test_sums_are_exact(activation: tuple[int, int], weight: tuple[int, int, float]) -> None:
    images = np.random.default_rng(0).uniform(-100, 100, (5, 40)).astype(np.float32)
    program = sums(*activation, weight)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))


@pytest.mark.parametrize("scale", [(1,), (7,), (1, 7)])
def test_a_factor_behind_a_product_is_its_scale_to_the_last_bit(scale: tuple[int, ...]) -> None:
    program = sums(-8, 7, (-8, 7, 0.0), scale)
    images = np.random.default_rng(0).uniform(-4, 4, (5, 40)).astype(np.float32)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))
    assert optimized(program)["Mul"] == 0


def test_a_factor_that_is_no_channels_stays_a_multiplication() -> None:
    made = programs.Written(3, 8)
    summed = made.add("product", made.quantize("input"), made.codes(8, 5), offsets=[0.0, 0.0])
    program = made.program(made.add("mul", summed, made.floats(3, 1)))
    assert optimized(program)["Mul"] == 1


def test_codes_that_are_read_many_times_are_integers_each_time() -> None:
    made = programs.Written(3, 8)
    codes = made.quantize("input")
    total = made.add("product", codes, made.codes(8, 5), offsets=[0.0, 0.0])
    for _ in range(4):
        total = made.add("add", total, made.add("product", codes, made.codes(8, 5), offsets=[0.0, 0.0]))
    square = made.add("product", codes, made.add("permute", codes, axes=[0, 2, 1]), offsets=[0.0, 0.0])
    program = made.program(made.add("cat", total, square, axis=2))
    images = np.random.default_rng(0).standard_normal((2, 3, 8), dtype=np.float32)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))
    assert optimized(program)["MatMulIntegerToFloat"] == 6


def test_halves_on_both_sides_are_exact() -> None:
    made = programs.Written(6, 8)
    left, right = (
        made.add("quantize", "input", made.constant([scale]), low=-1, high=0, offset=0.5) for scale in (1.0, 2.0)
    )
    turned = made.add("permute", right, axes=[0, 2, 1])
    program = made.program(made.add("product", left, turned, offsets=[0.5, 0.5]))
    images = np.random.default_rng(0).standard_normal((2, 6, 8), dtype=np.float32)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))
    assert optimized(program)["MatMul"] == 0


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("weight", [(-128, 127, 0.0), (-2, 1, 0.5), (-128, 127, 0.5)])
def test_convolutions_are_exact(groups: int, weight: tuple[int, int, float]) -> None:
    made = programs.Written(4, 9, 8)
    kernel = made.codes(8, 4 // groups, 3, 3, low=weight[0], high=weight[1], offset=weight[2])
    how = {"stride": [2, 1], "padding": [1, 0], "dilation": [1, 2], "groups": groups, "offsets": [0.0, weight[2]]}
    codes = made.quantize("input", 0.02, low=-128, high=127)
    program = made.program(made.add("convolution", codes, kernel, **how))
    images = np.random.default_rng(0).standard_normal((2, 4, 9, 8), dtype=np.float32)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))


def test_codes_between_two_integers_are_convolved_as_integers_and_padded_with_zeros() -> None:
    made = programs.Written(4, 9, 8)
    codes = made.add("quantize", "input", made.constant([1.0]), low=-1, high=0, offset=0.5)
    how = {"stride": [1, 1], "padding": [1, 1], "dilation": [1, 1], "groups": 2, "offsets": [0.5, 0.0]}
    summed = made.add("convolution", codes, made.codes(8, 2, 3, 3, low=-8, high=7), **how)
    program = made.program(made.add("mul", summed, made.floats(8, 1, 1)))
    images = np.random.default_rng(0).standard_normal((2, 4, 9, 8), dtype=np.float32)
    np.testing.assert_array_equal(run(program, images), reference.run(program, images))
    assert optimized(program)["ConvInteger"] == 1
