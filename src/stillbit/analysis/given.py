"""What a model is given to look at: batches of images or of texts, and the same questions asked of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from stillbit.data.batch import Batch, logits_of
from stillbit.data.text import TextBatch

Given = Batch | TextBatch
Kind = Literal["images", "texts"]


def kind_of(batches: Sequence[Given]) -> Kind:
    """What to call the samples; images where there are none."""
    return "texts" if any(isinstance(batch, TextBatch) for batch in batches) else "images"


def answer(model: nn.Module, batch: Given) -> Float[Tensor, "n classes"]:
    """What a classifier says to a batch."""
    return said_to(model, batch.inputs)


def said_to(model: nn.Module, inputs: tuple[Tensor, ...]) -> Float[Tensor, "n classes"]:
    """What it says to the inputs of a batch."""
    logits = logits_of(model(*inputs))
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"{type(model).__name__} answers with no logits: give a model that was made to classify, such as "
            "AutoModelForSequenceClassification"
        )
    return logits


def to_calibrate(batches: Sequence[Given]) -> list[Tensor | Mapping[str, Tensor]]:
    """The batches as `calibrate` takes them: images as they are, texts by the names that transformers gives them."""
    return [batch.named if isinstance(batch, TextBatch) else batch.images for batch in batches]


def split(batch: Given, size: int) -> Iterator[Given]:
    """The same samples in the same order, ``size`` at a time."""
    for first in range(0, len(batch.targets), size):
        columns: Any = (None if part is None else part[first : first + size] for part in batch)
        yield type(batch)(*columns)


def mask_of(batch: Given) -> Int[Tensor, "n t"] | None:
    """Which tokens of every text are no padding; None for images, which have none."""
    return batch.mask if isinstance(batch, TextBatch) else None


def unpadded(x: Float[Tensor, "*shape"], mask: Int[Tensor, "n t"] | None) -> Float[Tensor, "*rest"]:
    """The rows of a tensor that belong to tokens, heads beside each other or not; all of it where nothing is padded.

    A tensor that has no axis of tokens, such as what a classifier is given, is as it was.
    """
    if mask is None:
        return x
    if x.dim() == 3 and x.shape[:2] == mask.shape:
        rows: Tensor = x[mask.bool()]
        return rows
    if x.dim() == 4 and (x.size(0), x.size(2)) == tuple(mask.shape):
        return unpadded(x.transpose(1, 2).flatten(2), mask)
    return x


def sentences(
    x: Float[Tensor, "n t channels"], mask: Int[Tensor, "n t"]
) -> Iterator[Float[Tensor, "1 tokens channels"]]:
    """Text by text, without padding."""
    for row, held in zip(x, mask.bool(), strict=True):
        yield row[held].unsqueeze(0)


def tensors_of(batch: Given) -> tuple[Tensor, ...]:
    """All that decides a loss: what the model is called with, and the targets."""
    return (*batch.inputs, batch.targets)


def aside(what: Kind) -> str:
    """What is left out of activations, for the end of a sentence."""
    return ", without their padding" if what == "texts" else ""
