"""What is done to the rows of a table is done to the table, and looks the same from outside."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.deploy.program import Constant, Input, Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.tables import tabled
from stillbit.deploy.tracing.trace import trace
from tests.deploy.does import operations
from tests.deploy.programs import Written

IDS = np.array([[0, 5, 2], [5, 5, 1]])


def asked(made: Written, output: str) -> Program:
    return replace(made.program(output), inputs=(Input(name="ids", dims=(-1, 3), kind="indices"),))


def same(program: Program) -> Program:
    """The program with tables, which makes what it made."""
    made = tabled(program)
    np.testing.assert_array_equal(reference.run(made, IDS), reference.run(program, IDS))
    return made


def looked(made: Written, *shape: int, index: str = "ids", low: float = -1.0) -> str:
    return made.add("gather", made.floats(*shape, low=low), index, axis=0)


def test_a_table_whose_rows_are_rounded_holds_codes() -> None:
    made = Written(3)
    scale = looked(made, 6, 1, low=0.1)
    codes = made.add("quantize", made.add("div", looked(made, 6, 4), scale), low=-2, high=1, offset=0.5)
    program = same(asked(made, made.add("mul", made.add("level", codes, offset=0.5), scale)))
    assert operations(program) == ["gather", "gather", "level", "mul"]
    (table,) = (held for held in program.constants.values() if held.grid is not None)
    assert table.array.shape == (6, 4) and table.array.dtype == np.int8
    assert (table.grid.low, table.grid.high, table.grid.offset) == (-2, 1, 0.5)


def test_floats_that_somebody_reads_stay_floats() -> None:
    made = Written(3)
    rows = made.add("mul", looked(made, 6, 4), by=3.0)
    codes = made.add("level", made.quantize(rows), offset=0.0)
    program = same(asked(made, made.add("add", rows, codes)))
    assert operations(program)[:2] == ["gather", "mul"] and "quantize" in operations(program)


def test_rows_of_other_words_or_another_rank_do_not_meet() -> None:
    made = Written(3)
    turned = made.add("roll", "ids", by=[1], axes=[1])
    for other in (looked(made, 6, 4, index=turned), made.add("reshape", looked(made, 6), shape=[-1, 3, 1])):
        made.add("quantize", made.add("add", looked(made, 6, 4), other), low=-2, high=1, offset=0.0)
    values = [step.output for step in made.steps if step.op == "quantize"]
    both = made.add("cat", *(made.add("level", value, offset=0.0) for value in values), axis=2)
    assert operations(same(asked(made, both))).count("quantize") == 2


def test_a_constant_that_differs_from_word_to_word_is_not_the_tables() -> None:
    made = Written(3)
    place = made.add("quantize", made.add("add", looked(made, 6, 4), made.floats(3, 4)), low=-2, high=1, offset=0.0)
    assert "quantize" in operations(same(asked(made, made.add("level", place, offset=0.0))))


def test_rows_that_are_always_the_same_are_the_table() -> None:
    made = Written(3)
    rows = made.add("gather", made.floats(6, 4), made.constant(np.array([[4, 2, 0]])), axis=0)
    codes = made.add("quantize", rows, made.constant([0.3]), low=-2, high=1, offset=0.0)
    level = made.add("mul", made.add("level", codes, offset=0.0), by=0.3)
    program = same(asked(made, made.add("add", level, looked(made, 6, 4))))
    assert sorted(operations(program)) == ["add", "gather", "level", "mul"]
    (held,) = (held for held in program.constants.values() if held.grid is not None)
    assert held.array.shape == (1, 3, 4), "codes are smaller than the floats they stand for"


def test_all_of_an_axis_in_its_order_is_the_axis() -> None:
    made = Written(3)
    whole = made.add("gather", looked(made, 6, 4), made.constant(np.array([[0, 1, 2, 3]])), axis=2)
    assert operations(same(asked(made, whole))) == ["gather", "reshape"]
    other = made.add("gather", looked(made, 6, 4), made.constant(np.array([[1, 0, 2, 3]])), axis=2)
    assert operations(same(asked(made, other))) == ["gather", "gather"]


class Rows(nn.Module):
    """Looks up rows, and does something to them."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.table, self.does = nn.Embedding(6, 4), does

    def forward(self, ids: Tensor) -> Tensor:
        rows: Tensor = self.does(self.table(ids))
        return rows


def test_it_is_no_matter_which_layer_looks_up() -> None:
    def rounded(x: Tensor) -> Tensor:
        return (x.sub(0.1) / 0.25).round().clamp(-2, 1) * 0.25

    model = Rows(rounded).eval()
    program = trace(model, (torch.from_numpy(IDS),))
    assert operations(program) == ["gather", "level", "mul"]
    with torch.no_grad():
        np.testing.assert_array_equal(reference.run(program, IDS), model(torch.from_numpy(IDS)).numpy())
    assert [each.step for each in program.roundings] == [program.steps[0].output]


def test_a_table_of_floats_stays_as_it_is() -> None:
    model = Rows(lambda x: x * 2).eval()
    program = trace(model, (torch.from_numpy(IDS),))
    assert operations(program) == ["gather", "mul"]
    held = program.constants["c0"]
    assert isinstance(held, Constant) and np.array_equal(held.array, model.table.weight.detach().numpy())
