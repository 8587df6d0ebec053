"""Gradients of the mean loss in chosen weights, over many batches, without touching what an optimizer would read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit.analysis.given import Given, answer, split
from stillbit.data.batch import PADDING
from stillbit.quantizers.granularity import wide


def counted(batches: Sequence[Given]) -> int:
    """How many samples count: those that only fill a batch do not."""
    return sum(int((batch.targets != PADDING).sum()) for batch in batches)


def of_one_class(batches: Sequence[Given]) -> bool:
    """Whether the samples that count leave nothing to tell apart."""
    return len({int(target) for batch in batches for target in batch.targets if target != PADDING}) < 2


def loss_part(model: nn.Module, batch: Given, images: int) -> Float[Tensor, ""]:
    """What a batch adds to the mean cross-entropy over ``images`` samples."""
    logits = wide(answer(model, batch))
    return cross_entropy(logits, batch.targets, ignore_index=PADDING, reduction="sum") / images


def gradients(
    model: nn.Module, parameters: Mapping[str, nn.Parameter], batches: Sequence[Given]
) -> dict[str, Float[Tensor, "*shape"]]:
    """Of the mean cross-entropy over all samples, by name, summed over batches in float64; zeros where it has none."""
    images, wanted = counted(batches), list(parameters.values())
    sums = [torch.zeros_like(parameter, dtype=torch.float64) for parameter in wanted]
    for batch in batches:
        found = torch.autograd.grad(loss_part(model, batch, images), wanted, allow_unused=True, materialize_grads=True)
        for total, part in zip(sums, found, strict=True):
            total += part
    return dict(zip(parameters, sums, strict=True))


def check_classes(model: nn.Module, batches: Sequence[Given], subject: str) -> None:
    """Refuse a model that cannot be wrong."""
    with torch.no_grad():
        outputs = answer(model, next(split(batches[0], 1)))
    if outputs.dim() != 2 or outputs.size(1) < 2:
        raise ValueError(
            f"{subject} answers with a shape of {tuple(outputs.shape)}, and a loss needs two classes or more: give a "
            "model that was trained to classify"
        )
