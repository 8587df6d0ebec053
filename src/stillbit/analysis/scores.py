"""How good a model is on some images, added up as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How good a model is on the images."""

    top1: float
    """Share of the images whose first guess is right, 0 to 1."""
    loss: float
    """Mean cross-entropy with the labels."""
    kl: float
    """Mean Kullback-Leibler divergence from the float model's probabilities to these, in nats."""


@final
class Tally:
    """Sums over images, in float64, of what `Scores` are the means of."""

    def __init__(self) -> None:
        """Nothing seen."""
        self.images = 0
        self._hits, self._loss, self._kl, self._change, self._squares = (0.0,) * 5

    def add(
        self,
        logits: Float[Tensor, "n classes"],
        reference: Float[Tensor, "n classes"],
        targets: Int[Tensor, n],
        before: Float[Tensor, n] | None = None,
    ) -> Float[Tensor, n]:
        """Add images; the loss of each is returned.

        ``reference`` holds the float model's logarithms of probabilities (see `log_probabilities`), and ``before`` the
        losses of the same images with which these are compared.
        """
        said = log_probabilities(logits)
        losses = -said.gather(1, targets[:, None])[:, 0]
        change = torch.zeros_like(losses) if before is None else losses - before
        sums = (
            (logits.argmax(1) == targets).sum().double(),
            losses.sum(),
            (reference.exp() * (reference - said)).sum(),
            change.sum(),
            change.square().sum(),
        )
        hits, loss, kl, first, second = torch.stack(sums).tolist()
        self.images += len(targets)
        self._hits, self._loss, self._kl = self._hits + hits, self._loss + loss, self._kl + kl
        self._change, self._squares = self._change + first, self._squares + second
        return losses

    def scores(self) -> Scores:
        """The means."""
        count = self.images
        # Rounding may leave a divergence of nothing a hair below zero.
        return Scores(top1=self._hits / count, loss=self._loss / count, kl=max(self._kl / count, 0.0))

    def loss_error(self) -> float:
        """Standard error of the mean change of the loss."""
        if self.images < 2:
            return 0.0
        mean = self._change / self.images
        spread = max(self._squares / self.images - mean**2, 0.0) * self.images / (self.images - 1)
        return float((spread / self.images) ** 0.5)


def log_probabilities(logits: Float[Tensor, "n classes"]) -> Float[Tensor, "n classes"]:
    """In float64."""
    return logits.double().log_softmax(1)
