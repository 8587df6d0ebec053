"""A network as a list of steps."""

from __future__ import annotations

import numpy as np

from stillbit.deploy.program import Constant, Grid, Input, Program, Step, sizes, used


def step(op: str, inputs: tuple[str, ...], output: str) -> Step:
    return Step(op=op, inputs=inputs, output=output, settings={}, layer="")


def test_what_the_output_does_not_need_is_left_out() -> None:
    held = Constant(array=np.ones(1, np.float32))
    steps = (step("add", ("x", "c0"), "a"), step("add", ("x", "c1"), "b"), step("relu", ("a",), "y"))
    program = Program(
        inputs=(Input(name="x", dims=(-1, 2)),), output="y", steps=steps, constants={"c0": held, "c1": held}
    )
    kept = used(program)
    assert [s.output for s in kept.steps] == ["a", "y"] and list(kept.constants) == ["c0"]


def test_a_negative_size_grows_with_the_batch() -> None:
    assert sizes((-64, 49, 96), 3) == (192, 49, 96)


def test_a_grid_knows_its_width() -> None:
    assert [Grid(low=-2, high=1).bits, Grid(low=0, high=255).bits, Grid(low=-1, high=0, offset=0.5).bits] == [2, 8, 1]
