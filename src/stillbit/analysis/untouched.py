"""Look at a model, and leave it exactly as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

import torch
from torch import nn


@contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Eval mode inside. Afterwards modes, numbers and requires_grad are as before, however the block ends."""
    modes = [(module, module.training) for module in model.modules()]
    numbers = [(t, t.detach().clone()) for t in chain(model.parameters(), model.buffers())]
    learns = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, was in numbers:
                tensor.copy_(was)
        for module, training in modes:
            module.training = training
        for parameter, learned in learns:
            parameter.requires_grad_(learned)
