"""A float transformer of a few thousand weights, images for it, and its copy with switches."""

from __future__ import annotations

from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from stillbit.analysis.groups import Anatomy
from stillbit.analysis.inquiry import Inquiry
from stillbit.analysis.switches import Switched, calibrated, join
from stillbit.data.batch import Batch
from tests.contracts.test_families import float_model
from tests.surgery import tiny


def vit(**options: Any) -> VisionTransformer:
    """The same numbers at every call; three heads, two blocks, five classes."""
    torch.manual_seed(1)
    shape = {"img_size": 16, "patch_size": 4, "embed_dim": 24, "num_heads": 3, "depth": 2, "num_classes": 5}
    model = VisionTransformer(**{**shape, **options}).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.add_(torch.randn(parameter.shape) * (0.3 if parameter.dim() > 1 else 0.1))
            if "token" in name:
                parameter.normal_(0, 1)
    return model


def batch(count: int = 12, size: int = 16, classes: int = 5) -> Batch:
    chance = torch.Generator().manual_seed(3)
    images = torch.randn(count, 3, size, size, generator=chance)
    return Batch(images, torch.randint(classes, (count,), generator=chance), torch.arange(count))


def asked(**settings: Any) -> Inquiry:
    return Inquiry(**{"subject": "run", "source": "here", **settings})


class Pair(NamedTuple):
    """Both quantized models as they are, and one with switches that was made of their like."""

    low: nn.Module
    high: nn.Module
    switched: Switched
    anatomy: Anatomy


def pair(model: nn.Module | None = None, *, bits: str = "w2a2", given: Batch | None = None) -> Pair:
    model = vit() if model is None else model
    low, high = (calibrated(model, plan, [given or batch()]) for plan in asked(bits=bits).plans())
    below, above = deepcopy(low), deepcopy(high)
    anatomy = Anatomy(model, above)
    return Pair(low, high, join(below, above), anatomy)


def family(name: str) -> Pair:
    """One of the families that can be quantized."""
    return deepcopy(_family(name))


@lru_cache
def _family(name: str) -> Pair:
    return pair(float_model(name).eval(), bits="w3a3", given=Batch(tiny.images(4), torch.arange(4), torch.arange(4)))
