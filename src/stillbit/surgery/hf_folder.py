"""A folder as transformers lays one out: config.json says which model to build, our file beside it holds the rest."""

from __future__ import annotations

import json
from copy import copy
from pathlib import Path
from typing import Any

from torch import nn

from stillbit.surgery.hf import is_foreign

FILE = "model.safetensors"
CONFIG = "config.json"


def is_wanted(model: nn.Module, path: Path) -> bool:
    """Whether ``path`` is to be a folder: so it is for a model of transformers, unless it names a file."""
    return is_foreign(model) and path.suffix != ".safetensors" and not path.is_file()


def is_one(path: Path) -> bool:
    """Whether a model can be built from what is in this folder."""
    return (path / CONFIG).is_file()


def write_config(model: Any, folder: Path) -> None:
    """Write config.json, by transformers itself, with the class that it is the config of."""
    config = copy(model.config)
    config.architectures = [type(model).__name__]
    (folder / CONFIG).write_text(config.to_json_string(), encoding="utf-8")


def build(folder: Path) -> nn.Module:
    """The float model that config.json describes, with random weights; nothing is asked of the network."""
    import transformers

    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        name = config["architectures"][0]
        kind: Any = getattr(transformers, name, None)
    except (ValueError, KeyError, TypeError, IndexError):
        raise ValueError(f"{folder / CONFIG} does not say which model it is of: save the folder again") from None
    is_model = isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)
    if not is_model:
        raise ValueError(
            f"{folder / CONFIG} is of a {name}, which transformers does not have: "
            "pass the float model, load(folder, model=your_model)"
        )
    model: nn.Module = kind(kind.config_class.from_dict(config))
    return model
