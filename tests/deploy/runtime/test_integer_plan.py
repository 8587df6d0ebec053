"""A plan forgets what nobody reads again, and shows what the program calls codes and sums."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stillbit.deploy.runtime import reference
from stillbit.deploy.runtime.integer_plan import BATCH_PLACE, Plan
from tests.deploy import programs


@pytest.mark.parametrize("exact", [True, False])
def test_codes_and_sums_are_shown_by_the_programs_names_in_its_order(exact: bool) -> None:
    program = programs.everything()
    plan, x = Plan(program, exact=exact), torch.randn(2, 3, 8, 8)
    names = [name for name, _ in reference.Reference(program).codes(x.numpy())]
    assert [name for name, _ in plan.watch((x,), {})] == names
    assert [i.watched for i in plan.instructions if i.watched] == names


@pytest.mark.parametrize("exact", [True, False])
def test_every_value_is_freed_once_and_after_its_last_reader(exact: bool) -> None:
    plan = Plan(programs.everything(), exact=exact)
    gone: set[int] = set()
    for instruction in plan.instructions:
        assert not gone & set(instruction.inputs)
        assert not gone & set(instruction.freed)
        gone |= set(instruction.freed)
    made = {instruction.output for instruction in plan.instructions}
    assert gone == (made | {plan.places["input"]}) - {plan.places[plan.program.output]}
    assert BATCH_PLACE not in gone and all(plan.start[place] is None for place in gone)


def test_a_plan_keeps_nothing_of_a_batch() -> None:
    plan = Plan(programs.linear())
    before = list(plan.start)
    first, other = (torch.randn(2, 8),), (torch.randn(3, 8),)
    want = plan.run(first)
    plan.run(other)
    assert torch.equal(plan.run(first), want)
    assert all(now is was for now, was in zip(plan.start, before, strict=True))


def test_a_weight_is_laid_out_once() -> None:
    plan = Plan(programs.linear())
    (product,) = (i for i in plan.instructions if i.step.op == "accumulate")
    assert len(product.inputs) == 2 and plan.start[product.inputs[1]].dtype == torch.int8
    np.testing.assert_array_equal(plan.start[product.inputs[1]].numpy(), programs.linear().constants["c1"].array)
