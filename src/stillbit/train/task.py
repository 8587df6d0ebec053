"""A task: what a model is to learn from a batch."""

from __future__ import annotations

from typing import Protocol, final

import torch
from jaxtyping import Float
from timm.data.mixup import Mixup
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from stillbit.data.batch import Batch, logits_of
from stillbit.train.settings import LossSettings

Losses = dict[str, Float[Tensor, ""]]
"""Named losses, each a mean over the images of a batch. Training goes down their sum."""


class Task(Protocol):
    """From a batch to named losses. The loop knows no more about what is learned."""

    def prepare(self, batch: Batch) -> Batch:
        """The batch of a whole step as it is to be learned from; called once a step, before it is cut into parts."""

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The losses of ``model`` on ``batch``, ready for backward."""


@final
class Classify:
    """Cross-entropy with the labels, smoothed or mixed if asked."""

    def __init__(self, settings: LossSettings, classes: int) -> None:
        """``classes`` is the width of the model's output."""
        self.smoothing = settings.smoothing
        self.mix = None
        if settings.mixup or settings.cutmix:
            self.mix = Mixup(
                mixup_alpha=settings.mixup,
                cutmix_alpha=settings.cutmix,
                prob=settings.mixup_prob,
                switch_prob=settings.mixup_switch_prob,
                label_smoothing=settings.smoothing,
                num_classes=classes,
            )

    def prepare(self, batch: Batch) -> Batch:
        """Mix images of a batch with each other; an odd one out with itself, since timm mixes pairs."""
        if self.mix is None:
            return batch
        count = len(batch.targets)
        pairs = (torch.cat([tensor, tensor[: count % 2]]) for tensor in (batch.images, batch.targets))
        images, targets = self.mix(*pairs)
        return Batch(images[:count], targets[:count], batch.indices)

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The cross-entropy."""
        return {"loss": self.loss(logits_of(model(*batch.inputs)), batch)}

    def loss(self, logits: Float[Tensor, "n classes"], batch: Batch) -> Float[Tensor, ""]:
        """The cross-entropy of an answer; mixed targets are smooth already."""
        smoothing = self.smoothing if self.mix is None else 0.0
        return cross_entropy(logits.float(), batch.targets, label_smoothing=smoothing)


@final
class Regress:
    """The mean squared distance from the number to find."""

    def prepare(self, batch: Batch) -> Batch:
        """Nothing is mixed."""
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The distance."""
        return {"loss": self.loss(logits_of(model(*batch.inputs)), batch)}

    def loss(self, logits: Float[Tensor, "n one"], batch: Batch) -> Float[Tensor, ""]:
        """That of an answer."""
        return mse_loss(logits.float()[:, 0], batch.targets.float())
