"""How good a model is: exact counts over all processes, whatever the sizes of their batches."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar, final

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from stillbit.data.batch import PADDING, logits_of
from stillbit.data.loaders import Loader
from stillbit.train import distributed
from stillbit.train.distributed import Share
from stillbit.train.exam import Exam
from stillbit.train.hooks import Hook
from stillbit.train.state import Training

JUDGED = ("score", "top1")
"""What a run is judged by, the first of these that it has: texts have a score, by the metrics of their task."""


def evaluate(model: nn.Module, loader: Loader | Exam, *, device: torch.device, amp: bool = False) -> dict[str, float]:
    """Percent right at first guess (top1) and among five (top5), mean loss, and the number of images.

    For texts it is what an `Exam` finds.
    """
    if isinstance(loader, Exam):
        return loader.scores(model, amp=amp)
    return scored(model, loader.epoch(0), device=device, amp=amp)


@torch.no_grad()
def scored(model: nn.Module, batches: Iterable[Any], *, device: torch.device, amp: bool = False) -> dict[str, float]:
    """The same, of batches that are there already, of images or of texts in classes."""
    was = model.training
    model.eval()
    sums = torch.zeros(4, dtype=torch.float64, device=device)
    for batch in batches:
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            logits = logits_of(model(*batch.inputs))
        counted = batch.targets != PADDING
        logits, targets = logits[counted].double(), batch.targets[counted]
        hits = logits.topk(min(5, logits.size(1))).indices == targets[:, None]
        loss = cross_entropy(logits, targets, reduction="sum")
        sums += torch.stack([hits[:, 0].sum(), hits.sum(), loss, counted.sum()]).double()
    model.train(was)
    first, five, loss_sum, images = distributed.total(sums).tolist()
    if not images:
        raise ValueError("not one image could be evaluated: every one is damaged")
    return {
        "top1": 100 * first / images,
        "top5": 100 * five / images,
        "eval_loss": loss_sum / images,
        "images": images,
    }


def judged(training: Training) -> dict[str, Any]:
    """The scores a run is judged by, its average's if it has one, and after which epoch it was."""
    scores = training.scores
    return {
        "epoch": training.epoch,
        **{name: scores.get(f"ema_{name}", scores[name]) for name in JUDGED if name in scores},
    }


def mark_of(best: dict[str, Any]) -> float:
    """The one number of `judged` that decides; below every other where there is none yet."""
    return float(next((best[name] for name in JUDGED if name in best), -math.inf))


@final
class Evaluation(Hook):
    """Evaluates after every epoch, and knows when the run was best."""

    name: ClassVar[str] = "evaluation"

    def __init__(self, loader: Loader | Exam, share: Share, amp: bool) -> None:
        """``loader`` gives the images, or the texts, nobody trains on."""
        self.loader, self.share, self.amp = loader, share, amp

    def after_epoch(self, training: Training) -> None:
        """The model, and its average where there is one; the run is judged by the average."""
        for model in dict.fromkeys((training.model, training.judged)):
            distributed.broadcast(model.buffers())  # running means are each process's own, and the first one's are kept
        scores = evaluate(training.model, self.loader, device=self.share.device, amp=self.amp)
        if training.ema is not None:
            averaged = evaluate(training.ema.module, self.loader, device=self.share.device, amp=self.amp)
            scores |= {f"ema_{k}": v for k, v in averaged.items() if k != "images"}
        training.scores = scores
        now = judged(training)
        if mark_of(now) > mark_of(training.best):
            training.best = now
