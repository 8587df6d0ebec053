"""The training model against its program, code by code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from stillbit.deploy.program import Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.record import codes_of

ULPS = 2.0**-20
"""Of the largest number that a step rounds: what float32 sums in another order, or GELU in other steps, may leave."""


@dataclass(frozen=True)
class Parity:
    """What was found; ``wrong`` are codes that differ and are no tie."""

    codes: int
    ties: int
    wrong: list[str]
    unheard: list[str]
    logits: float


def parity(model: Any, program: Program, x: torch.Tensor) -> Parity:
    """Walk the reference on the training model's own codes, so that no difference counts again further on."""
    heard = codes_of(model, x, program)
    forced = dict(heard)
    codes, ties, wrong, unheard = 0, 0, [], []
    for step, inputs, value in reference.steps(program, x.numpy(), forced):
        if step.op == "quantize":
            if step.output not in forced:
                unheard.append(step.output)
                continue
            differ = value != forced[step.output]
            rounded = reference.before(*inputs, offset=step.settings["offset"])
            away = np.abs(np.abs(rounded - np.floor(rounded)) - 0.5)
            near = away <= ULPS * max(1.0, float(np.abs(rounded).max()))
            codes, ties = codes + value.size, ties + int((differ & near).sum())
            wrong += [step.layer] if (differ & ~near).any() else []
        if step.output == program.output:
            logits = value
    unheard += [name for name, same in heard if not np.array_equal(same, forced[name])]
    with torch.inference_mode():
        want = model(x).numpy()
    return Parity(codes, ties, wrong, unheard, float(np.abs(logits - want).max() / np.abs(want).max()))
