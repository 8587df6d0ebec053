"""What a loader gives at every step."""

from __future__ import annotations

from typing import Any, NamedTuple

from jaxtyping import Float, Int
from torch import Tensor

PADDING = -100
"""The target of an image that counts for nothing: what cross_entropy ignores."""


class Batch(NamedTuple):
    """Normalised images on the device, their targets, and their numbers in the source."""

    images: Float[Tensor, "n c h w"]
    targets: Int[Tensor, n]
    indices: Int[Tensor, n]
    classes: Int[Tensor, "n k"] | None = None
    """What a teacher said, where that was stored: the classes it lists (None if it lists all of them) ..."""
    probabilities: Float[Tensor, "n k"] | None = None
    """... and how likely it finds each."""

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a model is called with."""
        return (self.images,)


def logits_of(answer: Any) -> Any:
    """What a model answers with: a tensor (or two, of a model with two heads), or what transformers wraps it in."""
    return getattr(answer, "logits", answer)
