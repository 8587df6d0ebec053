"""How an engine is held against the reference: sums equal, codes equal but for ties."""

from __future__ import annotations

from typing import Any

import numpy as np

from stillbit.deploy.inputs import parts
from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference

NEAR = 64 * 2.0**-24
"""Of the largest number that is rounded: so near a boundary, either side of it is right."""
RARE = 1e-4
"""Of all codes, so many lie there at eight bits: 256 boundaries, and float32 knows where to a millionth."""


def same(program: Program, x: Any, engine: Any) -> None:
    """Every integer of the reference, in its order."""
    want, got = reference.Reference(program).codes(x), engine.codes(x)
    for (name, integers), (said, found) in zip(want, got, strict=True):
        assert said == name
        np.testing.assert_array_equal(found, integers, err_msg=name)


def ties(program: Program, x: Any, engine: Any) -> float:
    """The share of codes that differ from what the reference makes of the engine's codes before; each is a tie."""
    found = dict(engine.codes(x))
    assert list(found) == [name for name, _ in reference.Reference(program).codes(x)]
    count = total = 0
    for step, inputs, value in reference.steps(program, x, found):
        if step.op in ("product", "convolution"):
            np.testing.assert_array_equal(found[step.output], reference.accumulator(step, *inputs), err_msg=step.output)
        elif step.op == "quantize":
            steps = reference.before(*inputs, offset=step.settings["offset"])
            apart = found[step.output] != value
            assert (abs(found[step.output] - value)[apart] == 1).all()
            halves = np.minimum(found[step.output], value)[apart] + 0.5
            assert (abs(steps[apart] - halves) <= NEAR * abs(steps).max()).all(), step.output
            count, total = count + int(apart.sum()), total + apart.size
    return count / max(total, 1)


def near(program: Program, x: Any, engine: Any) -> float:
    """How far the logits are from those that the reference makes of the engine's codes, of the largest."""
    output = None
    for step, _, value in reference.steps(program, x, dict(engine.codes(x))):
        output = value if step.output == program.output else output
    assert output is not None
    return float(abs(engine(*parts(x)) - output).max() / abs(output).max())
