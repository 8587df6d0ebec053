"""What a student learns from a batch: the labels of a store, or the answers of a teacher that is asked now.

Both are tasks as the training loop understands them, by their shape: this room knows no loop.
"""

from __future__ import annotations

from typing import Protocol, final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stillbit.data.batch import Batch, logits_of
from stillbit.data.look import Look
from stillbit.distill.kinds import Kind
from stillbit.distill.losses import distillation, hard_distillation, soft_cross_entropy
from stillbit.distill.panel import Expert
from stillbit.distill.settings import DistillSettings

Losses = dict[str, Float[Tensor, ""]]


class Labels(Protocol):
    """What is learned from the true classes, beside a teacher."""

    def prepare(self, batch: Batch) -> Batch:
        """The batch of a whole step, mixed or not."""

    def loss(self, logits: Float[Tensor, "n classes"], batch: Batch) -> Float[Tensor, ""]:
        """The mean over the images of the batch."""


@final
class FromStore:
    """The stored labels, and nothing else."""

    def __init__(self, kind: Kind) -> None:
        """``kind`` is that of the store."""
        self.kind: Kind = kind

    def prepare(self, batch: Batch) -> Batch:
        """Nothing is mixed: the teacher did not see mixtures."""
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The soft cross-entropy."""
        assert batch.probabilities is not None, "a replay gives the teacher's answers"
        logits = logits_of(model(*batch.inputs))
        return {"loss": soft_cross_entropy(logits, batch.classes, batch.probabilities, self.kind).mean()}


@final
class FromTeacher:
    """The true classes, and beside them what a teacher says of the same pixels, mixed ones too.

    A student with two heads (timm's distilled models) learns the true classes with the first and the teacher's answer
    with the second; when it is judged, it answers with the mean of both.
    """

    def __init__(
        self, labels: Labels, teacher: Expert, student: nn.Module, look: Look | None, settings: DistillSettings
    ) -> None:
        """``teacher`` is on its device; ``look`` is how the student sees images, None if it reads texts."""
        self.labels, self.settings = labels, settings
        self.teacher = teacher.model.eval().requires_grad_(False)
        self.renorm = None if look is None else _renorm(look, teacher)
        if callable(separate := getattr(student, "set_distilled_training", None)):
            separate(settings.teacher_share < 1)  # a head that learns nothing would be waited for by other processes

    def prepare(self, batch: Batch) -> Batch:
        """Mixed as the labels want it; the teacher is shown the mixture."""
        return self.labels.prepare(batch)

    def __call__(self, model: nn.Module, batch: Batch) -> Losses:
        """The shares of the labels and of the teacher."""
        answer, share = self.ask(*batch.inputs), self.settings.teacher_share
        said = logits_of(model(*batch.inputs))
        own, other = said if isinstance(said, tuple) else (said, said)
        losses = {} if share == 1 else {"labels": (1 - share) * self.labels.loss(own, batch)}
        if other.size(1) == 1:  # a number, and no class: what is softened has more than one
            costs = (other - answer).float().square()
        elif self.settings.distillation == "hard":
            costs = hard_distillation(other, answer)
        else:
            costs = distillation(other, answer, self.settings.temperature)
        return losses | {"teacher": share * costs.mean()}

    @torch.no_grad()
    def ask(self, *inputs: Tensor) -> Float[Tensor, "n classes"]:
        """The teacher's logits, on images as the student sees them, or on texts."""
        if self.renorm is not None:
            scale, shift = self.renorm
            inputs = (inputs[0] * scale + shift, *inputs[1:])
        logits: Tensor = logits_of(self.teacher(*inputs))
        return logits


def _renorm(look: Look, teacher: Expert) -> tuple[Tensor, Tensor] | None:
    """From the student's normalisation to the teacher's: a factor and a summand a channel, or None for the same."""
    wants = teacher.look
    assert wants is not None and (wants.size, wants.channels) == (look.size, look.channels), (
        "checked when it was opened"
    )
    if (wants.mean, wants.std) == (look.mean, look.std):
        return None
    device = next(teacher.model.parameters()).device
    here, there = (torch.tensor((of.mean, of.std), device=device)[..., None, None] for of in (look, wants))
    return here[1] / there[1], (here[0] - there[0]) / there[1]
