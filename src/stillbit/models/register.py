"""Make timm know a model by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import timm
from timm.models import register_model

Make = TypeVar("Make", bound=Callable[..., Any])


def register(make: Make) -> Make:
    """`timm.models.register_model`, but for a name that timm has already: it would warn, and begin anew."""
    if not timm.is_model(make.__name__):
        register_model(make)
    return make


def config(
    size: int, *, mean: float | tuple[float, ...], std: float | tuple[float, ...], **more: Any
) -> dict[str, Any]:
    """What timm keeps of a model that takes square images of ``size`` pixels and has no pretrained weights."""
    mean, std = ((v,) * 3 if isinstance(v, float) else v for v in (mean, std))
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, size, size),
        "fixed_input_size": True,
        "interpolation": "bicubic",
        "mean": mean,
        "std": std,
        "license": "apache-2.0",
        **more,
    }
