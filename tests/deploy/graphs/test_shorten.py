from __future__ import annotations

import numpy as np
import pytest

from stillbit.deploy.graphs.shorten import shortened
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from tests.deploy.graphs.walk import QUICK, images, program_of
from tests.deploy.programs import Written


def ops(program: Program) -> list[str]:
    return [step.op for step in program.steps]


def same(program: Program) -> Program:
    """Shortened, and what it computes is what it was."""
    shorter, x = shortened(program), images(program)
    want = reference.run(program, x)
    np.testing.assert_allclose(reference.run(shorter, x), want, rtol=0, atol=2e-6 * np.abs(want).max())
    return shorter


def test_additions_of_constants_are_one() -> None:
    made = Written(3, 4)
    x = made.add("sub", made.add("add", "input", made.floats(4)), made.floats(3, 4))
    assert ops(same(made.program(made.add("add", x, by=1.0)))) == ["add"]


def test_what_is_added_waits_for_the_factors_behind_it() -> None:
    made = Written(3, 4)
    x = made.add("add", made.add("mul", "input", made.floats(4)), made.floats(4))
    x = made.add("add", made.add("mul", x, made.floats(4)), made.floats(3, 4))
    assert ops(same(made.program(x))) == ["mul", "add"]


def test_an_addition_behind_a_layer_norm_is_its_bias() -> None:
    made = Written(3, 4)
    x = made.add("layer_norm", "input", made.floats(4), made.floats(4), axes=1, eps=1e-6)
    assert ops(same(made.program(made.add("add", x, made.floats(4))))) == ["layer_norm"]


def test_a_bias_of_each_token_is_none_of_a_layer_norm() -> None:
    made = Written(3, 4)
    x = made.add("layer_norm", "input", made.floats(4), made.floats(4), axes=1, eps=1e-6)
    assert ops(same(made.program(made.add("add", x, made.floats(3, 1))))) == ["layer_norm", "add"]


def test_two_small_constants_do_not_become_a_large_one() -> None:
    made = Written(3, 4)
    x = made.add("mul", made.add("mul", "input", made.floats(4)), made.floats(3, 1))
    assert ops(same(made.program(x))) == ["mul", "mul"]


def test_what_others_read_stays() -> None:
    made = Written(3, 4)
    shared = made.add("add", "input", made.floats(4))
    x = made.add("add", made.add("mul", shared, made.floats(4)), shared)
    assert ops(same(made.program(x))) == ["add", "mul", "add"]


def test_a_constant_from_which_something_is_taken_stays_where_it_is() -> None:
    made = Written(3, 4)
    x = made.add("add", made.add("sub", made.floats(4), "input"), made.floats(4))
    assert ops(same(made.program(x))) == ["sub", "add"]


@pytest.mark.parametrize(("name", "method", "bits"), QUICK)
def test_steps_that_quantize_keep_their_names(name: str, method: str, bits: str) -> None:
    program = program_of(name, method, bits)
    shorter = shortened(program)
    assert len(shorter.steps) < len(program.steps)
    kept = [[step.output for step in each.steps if step.op == "quantize"] for each in (program, shorter)]
    assert kept[0] == kept[1]
