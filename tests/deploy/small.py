"""Models small enough to be traced in a second or two, on the grids of a method."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer

import stillbit
from stillbit.methods import RECIPES
from stillbit.methods.build import plan_of


def vit(**changes: Any) -> VisionTransformer:
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 5}
    return VisionTransformer(**{**shape, **changes})


def images(number: int = 4, size: int = 16) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(1))


def trained(model: Any, method: str, bits: str, x: torch.Tensor) -> Any:
    """``model`` by a method's quantizers, with start values from ``x``, and nothing left at zero or one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    quant = RECIPES[method]().quant
    assert quant is not None
    model = stillbit.quantize(model, plan_of(replace(quant, bits=bits)))
    stillbit.calibrate(model, [x])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("shift", "before", "after")):
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()
