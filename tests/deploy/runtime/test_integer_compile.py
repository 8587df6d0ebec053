"""What repeats in a plan is found, and compiled once."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stillbit.deploy.runtime import integer_compile
from stillbit.deploy.runtime.integer_compile import SHORTEST, Compiled, cut
from stillbit.deploy.runtime.integer_plan import Plan
from stillbit.deploy.tracing.trace import trace
from tests.deploy import small

BLOCK = "abcdefghijkl"


def test_a_network_is_cut_where_its_blocks_repeat() -> None:
    assert len(BLOCK) >= SHORTEST
    spoken = ["stem", *BLOCK * 3, "norm", "head"]
    assert cut(spoken) == [0, 1, 13, 25, 37, 39]


def test_what_does_not_repeat_is_one_piece() -> None:
    assert cut([*BLOCK, *BLOCK[::-1]]) == [0, 24]
    assert cut(["a", "b"] * 3) == [0, 6], "too short to be worth a call"
    assert cut([]) == [0, 0]


def test_two_blocks_that_take_turns_are_a_block() -> None:
    other = BLOCK.upper()
    assert cut([*(BLOCK + other) * 3]) == [0, 24, 48, 72]


def interpreted(inside: Any, inputs: Any, outputs: Any, values: Any) -> Any:
    """A stand-in for torch's compiler: the same function, as it is."""

    def function(*given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        held = {0: values[0], **dict(zip(inputs, given, strict=True))}
        for instruction in inside:
            held[instruction.output] = instruction.run(*[held[place] for place in instruction.inputs])
        return tuple(held[place] for place in outputs)

    return function


@pytest.mark.parametrize(("method", "depth"), [("lsq", 4), ("ofq", 3)])
def test_blocks_that_are_alike_share_a_function_with_their_own_constants(
    method: str, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = small.images()
    program = trace(small.trained(small.vit(depth=depth), method, "w4a4", x), x[:2])
    monkeypatch.setattr(integer_compile, "compiled", interpreted)
    plan = Plan(program, traced=True)
    ready = Compiled(plan, (x,))
    assert len(ready.segments) > len({id(segment.function) for segment in ready.segments})
    assert torch.equal(ready.run((x,)), plan.run((x,)))
    assert torch.equal(ready.run((2 * x,)), plan.run((2 * x,)))
    shown = dict(Compiled(plan, (x,), watched=True).watch((x,)))
    assert all(torch.equal(shown[name], value) for name, value in plan.watch((x,), {}))
