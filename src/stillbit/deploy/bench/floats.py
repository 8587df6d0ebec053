"""The float model that a deployed one is held against, with random weights: timm's of the same name, or transformers'.

Weights do not change how long a product of floats takes.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, final

from torch import Tensor, nn

from stillbit.data.batch import logits_of
from stillbit.deploy.bench.worker import Subject, heard, started, words_of
from stillbit.models.names import create


def float_model(subject: Subject) -> Any:
    """The model for such images or sentences, in eval mode; it gives back a tensor."""
    if subject.is_text:
        from stillbit.models.encoders import build

        return Answers(build(subject.config)).float().eval()
    channels, size = subject.inputs[0].dims[1:3]
    return create(subject.model, num_classes=subject.classes, img_size=size, in_chans=channels).eval()


@final
class Answers(nn.Module):
    """A model of transformers that gives back its logits alone."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.inside = inside

    def forward(self, *given: Tensor) -> Any:
        """The logits."""
        return logits_of(self.inside(*given))


def write_graph(subject: Subject, path: Path) -> str:
    """The same model as an ONNX file, written in a process of its own; what went wrong, if anything did."""
    with started(_write, subject, str(path)) as pipe:
        return str(heard(pipe))


def _write(subject: Subject, path: str, pipe: Any) -> None:
    try:
        export(subject, path)
        pipe.send("")
    except Exception as problem:  # whatever it is, it is said where the others go on
        pipe.send(words_of(problem))


def export(subject: Subject, path: str) -> None:
    """By torch's own exporter."""
    import logging

    import torch

    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about how it exports
        example = tuple(
            torch.ones(2, *each.dims[1:], dtype=torch.float32 if each.kind == "floats" else torch.int64)
            for each in subject.inputs
        )
        dynamic: Any = tuple({0: torch.export.Dim("batch")} for _ in example)
        dynamic = (dynamic,) if subject.is_text else dynamic  # its forward takes them as one row
        torch.onnx.export(float_model(subject), example, path, dynamo=True, dynamic_shapes=dynamic, verbose=False)
