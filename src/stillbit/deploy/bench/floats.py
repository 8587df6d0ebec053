"""The float model that a deployed one is held against: what timm builds under the same name, with random weights.

Weights do not change how long a product of floats takes.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from stillbit.deploy.bench.worker import heard, started, words_of
from stillbit.models.names import create


def float_model(name: str, shape: tuple[int, ...], classes: int) -> Any:
    """The model for images of this shape, in eval mode."""
    return create(name, num_classes=classes, img_size=shape[1], in_chans=shape[0]).eval()


def write_graph(name: str, shape: tuple[int, ...], classes: int, path: Path) -> str:
    """The same model as an ONNX file, written in a process of its own; what went wrong, if anything did."""
    with started(_write, name, shape, classes, str(path)) as pipe:
        return str(heard(pipe))


def _write(name: str, shape: tuple[int, ...], classes: int, path: str, pipe: Any) -> None:
    try:
        export(name, shape, classes, path)
        pipe.send("")
    except Exception as problem:  # whatever it is, it is said where the others go on
        pipe.send(words_of(problem))


def export(name: str, shape: tuple[int, ...], classes: int, path: str) -> None:
    """By torch's own exporter."""
    import logging

    import torch

    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about how it exports
        example = torch.zeros(2, *shape)
        dynamic = ({0: torch.export.Dim("batch")},)
        model = float_model(name, shape, classes)
        torch.onnx.export(model, (example,), path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
