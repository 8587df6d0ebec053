"""Models small enough to be traced in a second or two, on the grids of a method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

import stillbit
from stillbit.methods import RECIPES
from stillbit.methods.build import plan_of
from tests.surgery import tiny

FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "vit": tiny.vit,
    "deit": tiny.deit,
    "swin": tiny.swin,
    "swin_v2": tiny.swin_v2,
    "sret": tiny.sret,
    "resnet": tiny.timm_resnet,
}
"""Each takes images of 32 x 32: ``family("swin", "ofq", "w2a2")`` has one on the grids of a method."""


def vit(**changes: Any) -> VisionTransformer:
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 1, "num_heads": 2, "num_classes": 5}
    return VisionTransformer(**{**shape, **changes})


def images(number: int = 4, size: int = 16) -> torch.Tensor:
    return torch.randn(number, 3, size, size, generator=torch.Generator().manual_seed(1))


def family(name: str, method: str, bits: str) -> Any:
    """The smallest model of a family; what a method asks for and the family does not have is left out."""
    torch.manual_seed(2)
    model, changes = FAMILIES[name](), {}
    if name == "resnet":
        changes = {"granularity": "channel", "activation_granularity": "tensor", "merge_qk": False}
    elif name in ("swin", "swin_v2", "sret"):  # they pool their tokens: not all layers have a fixed number
        changes = {"activation_granularity": "tensor", "merge_qk": name == "swin" and method == "ofq"}
    return trained(model, method, bits, images(4, 32), **changes)


def trained(model: Any, method: str, bits: str, x: torch.Tensor, **changes: Any) -> Any:
    """``model`` by a method's quantizers, with start values from ``x``, and nothing left at zero or one."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.1 * torch.randn_like(buffer))
    quant = RECIPES[method]().quant
    assert quant is not None
    model = stillbit.quantize(model, plan_of(replace(quant, bits=bits, **changes)))
    stillbit.calibrate(model, [x])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("shift", "before", "after")):
                parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()
