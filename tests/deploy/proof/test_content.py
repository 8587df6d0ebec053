"""Two programs are held to each other, constant by constant."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.program import Program
from stillbit.deploy.proof.content import first_apart
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small


@pytest.fixture(scope="module")
def program() -> Program:
    x = small.images()
    return trace(small.trained(small.vit(), "lsq", "w2a2", x), x[:2])


def changed(program: Program, name: str, array: Any) -> Program:
    return replace(program, constants={**program.constants, name: replace(program.constants[name], array=array)})


def inputs_of(program: Program, layer: str, op: str) -> list[str]:
    return [n for step in program.steps if step.layer == layer and step.op == op for n in step.inputs]


def test_a_program_is_itself(program: Program) -> None:
    assert first_apart(program, program) is None


def test_a_scale_off_by_a_hundred_thousandth_is_found_in_its_layer(program: Program) -> None:
    (name,) = (n for n in inputs_of(program, "blocks.0.mlp.fc1", "mul") if n in program.constants)
    array = program.constants[name].array
    assert first_apart(changed(program, name, array * np.float32(1 + 1e-5)), program) == (
        "blocks.0.mlp.fc1: a constant is off by 1e-05 of itself"
    )
    assert first_apart(changed(program, name, np.nextafter(array, np.float32(9))), program) is None


def test_one_code_is_found_in_its_layer(program: Program) -> None:
    (name,) = (n for n in inputs_of(program, "blocks.0.attn.proj", "product") if n in program.constants)
    codes = program.constants[name].array.copy()
    codes.flat[3] = -1 - codes.flat[3]
    found = first_apart(changed(program, name, codes), program)
    assert found == f"blocks.0.attn.proj: 1 of {codes.size:,} codes are others"


def test_steps_that_were_exchanged_or_left_out_are_found(program: Program) -> None:
    steps = list(program.steps)
    assert first_apart(replace(program, steps=tuple(steps[:-1])), program) is not None
    number = next(n for n, step in enumerate(steps) if step.op == "gelu")
    steps[number] = replace(steps[number], settings={"tanh": True})
    assert first_apart(replace(program, steps=tuple(steps)), program) == "blocks.0.mlp.act: its gelu"
