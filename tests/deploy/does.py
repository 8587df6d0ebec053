"""A function as a model, and its program against torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.deploy.program import OPERATIONS, Program
from stillbit.deploy.runtime import reference
from stillbit.deploy.tracing.trace import trace

X = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(1))


class Does(nn.Module):
    """A function as a module; beside it a weight that it may close over."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.weight = nn.Parameter(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def means_the_same(model: nn.Module | Callable[[Tensor], Any], x: Tensor = X) -> Program:
    """The program of two images; for all of them it gives what torch gives."""
    model = model if isinstance(model, nn.Module) else Does(model)
    program = trace(model.eval(), x[:2])
    assert {step.op for step in program.steps} <= set(OPERATIONS) == set(reference.OPERATIONS)
    with torch.no_grad():
        want = model(x.clone()).numpy()
    np.testing.assert_allclose(reference.run(program, x.numpy()), want, rtol=2e-6, atol=2e-6, equal_nan=True)
    return program


def operations(program: Program) -> list[str]:
    return [step.op for step in program.steps]
