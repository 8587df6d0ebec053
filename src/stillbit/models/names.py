"""Models by their names: `timm.create_model` with errors that help, and what a model wants to see."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import timm
from timm.data import resolve_model_data_config
from timm.models import get_pretrained_cfg, is_model_pretrained
from torch import nn


def create(
    name: str,
    *,
    num_classes: int | None = None,
    img_size: int | None = None,
    in_chans: int = 3,
    drop_path: float = 0.0,
    pretrained: bool = False,
) -> nn.Module:
    """The model that timm, with the models of this room, knows by ``name``; what is None is the model's own choice."""
    config = None if ":" in name else _known(name, pretrained)  # a colon names a place outside of the registry
    fixed = config is None or config.fixed_input_size
    wanted = {
        "num_classes": num_classes,
        "img_size": img_size if fixed else None,
        "in_chans": in_chans if in_chans != 3 else None,
        "drop_path_rate": drop_path or None,
    }
    try:
        model: Any = timm.create_model(name, pretrained=pretrained, **wanted)
    except TypeError as error:
        refused = next((option for option in wanted if f"'{option}'" in str(error)), None)
        if refused is None:
            raise
        option = refused.removesuffix("_rate")
        raise ValueError(f"the model {name} has no option {option}: leave {option}={wanted[refused]} out") from None
    if img_size is not None and not fixed:  # it takes any size, and shall be fed with this one
        model.pretrained_cfg["input_size"] = (in_chans, img_size, img_size)
    return model  # type: ignore[no-any-return]


def wants(model: nn.Module) -> dict[str, Any]:
    """How a model wants its images: timm's data configuration (input_size, mean, std, interpolation, crop_pct, ...).

    Size and channels are those the model was made with, which timm's configuration does not follow. Other channels than
    three get the mean over the three of the configuration.
    """
    config: dict[str, Any] = resolve_model_data_config(model)
    channels, *size = config["input_size"]
    channels = _channels(model) or channels
    fixed: Any = getattr(getattr(model, "patch_embed", None), "img_size", None)
    size = fixed if isinstance(fixed, tuple) else size
    mean, std = (
        numbers if len(numbers) == channels else (sum(numbers) / len(numbers),) * channels
        for numbers in (config["mean"], config["std"])
    )
    return {**config, "input_size": (channels, *size), "mean": tuple(mean), "std": tuple(std)}


def _known(name: str, pretrained: bool) -> Any:
    """What timm keeps of a model, or a sentence about why there is no such model."""
    try:
        found = get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # a model that exists, with a tag that does not
        found = None
    if found is None:
        tagged = "." in name
        names = [n for n in timm.list_models(pretrained=tagged) if ("." in n) == tagged]
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() lists all there are"
        raise ValueError(f"there is no model named {name!r}: {hint}")
    if pretrained and not is_model_pretrained(name):
        raise ValueError(f"there are no pretrained weights for {name}: leave pretrained out")
    return found


def _channels(model: nn.Module) -> int | None:
    """The channels that the first convolution takes in."""
    config: Any = getattr(model, "pretrained_cfg", None) or {}
    first = config.get("first_conv")
    name = first[0] if isinstance(first, tuple | list) and first else first
    if not isinstance(name, str):
        return None
    try:
        return getattr(model.get_submodule(name), "in_channels", None)
    except AttributeError:
        return None
