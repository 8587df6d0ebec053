"""``stillbit analyze error``: how far quantized numbers are from float ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class AskedError(Asked):
    """How far quantized weights, activations and gradients are from float ones, layer by layer."""

    images: int = 64
    """Images, or texts, that activations and gradients are measured on, as many of every class."""
    batch_size: int = 64
    """Images or texts at a time."""


def run(words: Sequence[str]) -> int:
    """Errors of a quantized model."""
    asked = parse(AskedError, words, prog="stillbit analyze error")
    from stillbit.analysis.noise import errors
    from stillbit.methods.subject import need_quantized, open_subject, pictures

    subject = open_subject(asked.target, checkpoint=asked.checkpoint, pretrained=asked.pretrained, device=asked.device)
    need_quantized(subject, "the error of quantization")
    batches = pictures(subject, asked.images, batch_size=asked.batch_size, **asked.of_data())
    record = errors(subject.model, batches, subject=subject.name, about=subject.about)
    return shown(asked, record, subject.folder)
