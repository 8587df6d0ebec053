"""ReLU where a model has GELU: what is behind it is 0 or more, which suits the grid {0, 1} of one bit."""

from __future__ import annotations

from timm.layers import GELU, GELUTanh
from torch import nn


def rectified(model: nn.Module) -> nn.Module:
    """``model`` with every GELU replaced, in place; refused where there is none."""
    found = [
        (module, name)
        for module in model.modules()
        for name, child in module.named_children()
        if isinstance(child, nn.GELU | GELU | GELUTanh)
    ]
    if not found:
        raise ValueError(f"{type(model).__name__} has no GELU that ReLU could stand for: leave out --relu")
    for module, name in found:
        setattr(module, name, nn.ReLU())
    return model
