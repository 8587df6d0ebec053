"""Which call of timm's builds a model: what a file needs to be loaded without being told."""

from __future__ import annotations

from typing import Any

import timm
from torch import nn

from stillbit import models  # noqa: F401 (to import the room is to make timm know its names)


def create(made: dict[str, Any]) -> nn.Module:
    """The model that `describe` described, with random weights."""
    built: nn.Module = timm.create_model(made["name"], pretrained=False, **made["options"])
    return built


def describe(model: Any) -> dict[str, Any] | None:
    """Timm's name of the model and the arguments people give most often; None if it is not timm's."""
    config = getattr(model, "pretrained_cfg", None) or {}
    name = config.get("architecture")
    if not name or not timm.is_model(name):
        return None
    tag = config.get("tag")
    return {"name": f"{name}.{tag}" if tag else name, "options": _options(model, config)}


def _options(model: Any, config: Any) -> dict[str, Any]:
    """Arguments of create_model, read back from the model."""
    options: dict[str, Any] = {}
    if isinstance(getattr(model, "num_classes", None), int):
        options["num_classes"] = model.num_classes
    image = getattr(getattr(model, "patch_embed", None), "img_size", None)
    wanted = (config.get("input_size") or (None, None, None))[1:]
    if isinstance(image, tuple) and tuple(image) != tuple(wanted):
        options["img_size"] = list(image)
    first = config.get("first_conv")
    if isinstance(first, str):
        channels = getattr(model.get_submodule(first), "in_channels", 3)
        if channels != 3:
            options["in_chans"] = channels
    rate = max((getattr(m, "drop_prob", None) or 0.0 for m in model.modules()), default=0.0)
    if rate:
        options["drop_path_rate"] = rate
    pool = getattr(model, "global_pool", None)
    if isinstance(pool, str) and pool != "token":
        options["global_pool"] = pool
    return options
