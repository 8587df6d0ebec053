"""A program that says everything once, and means what it meant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.deploy.program import Constant, Grid, Input, Program, Rounding, Step
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing import trace as tracing
from stillbit.deploy.tracing.tidy import merged, numbered, tidy
from tests.deploy import small


def step(op: str, inputs: tuple[str, ...], output: str, **settings: Any) -> Step:
    return Step(op=op, inputs=inputs, output=output, settings=settings, layer="")


def program(*steps: Step, **constants: Constant) -> Program:
    return Program(
        inputs=(Input(name="x", dims=(-1, 2, 3)),), output=steps[-1].output, steps=steps, constants=constants
    )


def floats(*values: float) -> Constant:
    return Constant(array=np.array(values, np.float32))


def operations(tidied: Program) -> list[str]:
    return [each.op for each in tidied.steps]


@pytest.mark.parametrize(("method", "bits"), [("vvtq", "w2a2"), ("ofq", "w2a2"), ("qvit_mixed", "w4a4")])
def test_no_value_changes_in_any_bit(method: str, bits: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = small.images()
    model = small.trained(small.vit(), method, bits, x)
    tidied = tracing.trace(model, x)
    monkeypatch.setattr(tracing, "tidy", lambda plain: plain)
    plain = tracing.trace(model, x)
    assert len(tidied.steps) < len(plain.steps)
    assert sum(c.array.nbytes for c in tidied.constants.values()) < sum(
        c.array.nbytes for c in plain.constants.values()
    )
    assert (reference.run(tidied, x.numpy()) == reference.run(plain, x.numpy())).all()


def test_ofq_quantizes_its_tokens_once_and_its_shifts_are_a_row_a_head() -> None:
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    model = small.trained(small.vit(img_size=32, embed_dim=32, num_heads=4), "ofq", "w2a2", x)
    traced = tracing.trace(model, x)  # 65 tokens, 4 heads of 32 channels laid one below the other
    inside = [each for each in traced.steps if each.op == "quantize" and each.layer.startswith("blocks.0.attn")]
    assert len(inside) == 5  # tokens, merged query, value, probabilities, input of proj
    assert max(c.array.size for c in traced.constants.values() if c.grid is None) == 65 * 32  # position embedding


def test_equal_constants_and_equal_steps_are_one() -> None:
    grid = Grid(low=0, high=3)
    tidied = merged(
        program(
            step("quantize", ("x", "a"), "p", low=0, high=3, offset=0.0),
            step("quantize", ("x", "b"), "q", low=0, high=3, offset=0.0),
            step("level", ("p",), "r", offset=0.0),
            step("level", ("q",), "s", offset=0.0),
            step("add", ("r", "s"), "y"),
            a=floats(2.0),
            b=floats(2.0),
            c=Constant(array=np.array([2], np.int8), grid=grid),
        )
    )
    assert operations(tidied) == ["quantize", "level", "add"] and list(tidied.constants) == ["a"]
    assert tidied.steps[-1].inputs == ("r", "r")


def test_constants_that_differ_in_the_sign_of_zero_stay_two() -> None:
    both = program(step("div", ("x", "a"), "p"), step("div", ("x", "b"), "q"), step("add", ("p", "q"), "y"))
    tidied = merged(replace(both, constants={"a": floats(0.0), "b": floats(-0.0)}))
    assert len(tidied.constants) == 2


@pytest.mark.parametrize(
    ("moves", "left"),
    [
        ([("reshape", {"shape": [-1, 6]}), ("reshape", {"shape": [-1, 2, 3]})], []),
        ([("reshape", {"shape": [-1, 6]}), ("reshape", {"shape": [-1, 3, 2]})], ["reshape"]),
        ([("permute", {"axes": [0, 2, 1]}), ("permute", {"axes": [0, 2, 1]})], []),
        ([("permute", {"axes": [1, 2, 0]}), ("permute", {"axes": [1, 0, 2]})], ["permute"]),
        ([("slice", {"axis": 0, "start": 0, "stop": None, "step": 1})], []),
        ([("slice", {"axis": 2, "start": 0, "stop": 3, "step": 1})], []),
        ([("slice", {"axis": 2, "start": 0, "stop": 3, "step": 2})], ["slice"]),
        ([("expand", {"shape": [-1, 2, 3]}), ("mul", {"by": 1.0}), ("cat", {"axis": 1})], []),
        ([("pad", {"around": [[0, 0]] * 3, "value": 0.0})], []),
        ([("reshape", {"shape": [-1, 1, 6]}), ("permute", {"axes": [0, 2, 1]})], ["reshape"]),
        ([("add", {"by": 0.0})], ["add"]),  # minus zero becomes zero
    ],
)
def test_moves_that_move_nothing_are_left_out(moves: list[tuple[str, dict[str, Any]]], left: list[str]) -> None:
    steps, last = [], "x"
    for number, (op, settings) in enumerate(moves):
        steps.append(step(op, (last,), f"m{number}", **settings))
        last = f"m{number}"
    plain = program(*steps, step("exp", (last,), "y"))
    tidied = tidy(plain)
    assert operations(tidied) == [*left, "exp"]
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    assert (reference.run(plain, x) == reference.run(tidied, x)).all()


def test_values_and_constants_are_numbered_in_order() -> None:
    said = program(step("add", ("x", "late"), "b"), step("mul", ("b", "early"), "a"), early=floats(1), late=floats(2))
    tidied = numbered(replace(said, roundings=(Rounding("b"), Rounding())))
    assert [(each.inputs, each.output) for each in tidied.steps] == [(("x", "c0"), "v0"), (("v0", "c1"), "v1")]
    assert tidied.constants["c0"].array.item() == 2 and tidied.roundings == (Rounding("v0"), Rounding())
