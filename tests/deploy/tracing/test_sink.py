"""Moves behind what is done to single elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillbit.deploy.program import Constant, Input, Program, Rounding, Step
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.sink import sunk
from stillbit.deploy.tracing.tidy import tidy

DRAW = np.random.default_rng(0)


def step(op: str, inputs: tuple[str, ...], output: str, **settings: Any) -> Step:
    return Step(op=op, inputs=inputs, output=output, settings=settings, layer="")


def constant(*shape: int) -> Constant:
    return Constant(array=DRAW.uniform(0.5, 1.5, shape).astype(np.float32))


def there_and_back(last: tuple[int, ...]) -> Program:
    """Quantized while it is turned, as attention does with its values."""
    steps = (
        step("permute", ("x",), "t", axes=[0, 1, 3, 2]),
        step("sub", ("t", "shift"), "s"),
        step("quantize", ("s", "scale"), "q", low=-2, high=1, offset=0.0),
        step("permute", ("q",), "b", axes=list(last)),
        step("level", ("b",), "y", offset=0.0),
    )
    constants = {"shift": constant(2, 5, 1), "scale": constant(5, 1)}
    return Program(
        inputs=(Input(name="x", dims=(-1, 2, 4, 5)),),
        output="y",
        steps=steps,
        constants=constants,
        roundings=(Rounding("q"),),
    )


def test_a_permute_that_is_undone_is_not_done() -> None:
    program, x = there_and_back((0, 1, 3, 2)), DRAW.normal(size=(3, 2, 4, 5)).astype(np.float32)
    tidied = tidy(program)
    assert [each.op for each in tidied.steps] == ["sub", "quantize", "level"]
    assert (reference.run(tidied, x) == reference.run(program, x)).all()
    assert tidied.roundings == (Rounding("v1", (("permute", (0, 1, 3, 2)),)),)


def test_a_permute_that_leads_elsewhere_stays_where_it_is() -> None:
    program = there_and_back((0, 3, 2, 1))
    assert sunk(program).steps == program.steps


def stacked(tokens: int) -> Program:
    """Heads laid one below the other, with a shift a head: what OFQ does with its queries."""
    shift = np.repeat(DRAW.normal(size=(3, 1, 8)).astype(np.float32), tokens, 1).reshape(3 * tokens, 8)
    scale = np.tile(DRAW.uniform(0.5, 1.5, (1, tokens, 1)).astype(np.float32), (3, 1, 1)).reshape(3 * tokens, 1)
    steps = (
        step("reshape", ("x",), "r", shape=[-1, 3 * tokens, 8]),
        step("sub", ("r", "shift"), "s"),
        step("quantize", ("s", "scale"), "q", low=-2, high=1, offset=0.0),
        step("level", ("q",), "l", offset=0.0),
        step("mul", ("l", "scale"), "m"),
        step("add", ("m", "shift"), "y"),
    )
    constants = {"shift": Constant(array=shift), "scale": Constant(array=scale)}
    return Program(
        inputs=(Input(name="x", dims=(-1, 3, tokens, 8)),),
        output="y",
        steps=steps,
        constants=constants,
        roundings=(Rounding("q"),),
    )


def test_a_constant_that_a_reshape_repeats_is_used_before_it() -> None:
    program, x = stacked(60), DRAW.normal(size=(2, 3, 60, 8)).astype(np.float32)
    tidied = tidy(program)
    assert [each.op for each in tidied.steps] == ["sub", "quantize", "level", "mul", "add", "reshape"]
    assert {held.array.shape for held in tidied.constants.values()} == {(3, 1, 8), (60, 1)}
    assert (reference.run(tidied, x) == reference.run(program, x)).all()
    assert tidied.roundings == (Rounding("v1", (("reshape", (-1, 3, 60, 8)),)),)


def test_a_small_constant_is_not_worth_a_change() -> None:
    program = stacked(6)
    assert sunk(program).steps == program.steps
