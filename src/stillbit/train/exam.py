"""How good a model of texts is, as its task judges: all answers are gathered, and then they are judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from stillbit.data.batch import PADDING, logits_of
from stillbit.data.glue_metrics import answers, scores, task_score
from stillbit.data.text import TextLoader
from stillbit.data.text_tasks import TextTask
from stillbit.train import distributed

Found = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Logits and targets."""


@final
@dataclass(frozen=True)
class Exam:
    """A task, and the examples of each split that it is judged on."""

    task: TextTask
    loaders: dict[str, TextLoader]

    @property
    def samples(self) -> int:
        """Examples in all."""
        return sum(loader.samples for loader in self.loaders.values())

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """Nothing, as of a loader of texts."""
        return []

    def scores(self, model: nn.Module, *, amp: bool = False) -> dict[str, float]:
        """The task's metrics, in percent, by name (of several splits, with the last word of the split's name).

        ``score`` is the one number of the task; ``top1`` the share of right classes over all splits, if there are
        classes; then the mean loss, and the number of examples.
        """
        was = model.training
        model.eval()
        found = {split: self._found(model, loader, amp) for split, loader in self.loaders.items()}
        model.train(was)
        said: dict[str, float] = {}
        for split, (logits, targets) in found.items():
            behind = f"_{split.rpartition('_')[2]}" if len(found) > 1 else ""
            held = scores(self.task, answers(self.task, logits), targets)
            said |= {f"{name}{behind}": score for name, score in held.items()}
        logits, targets = (np.concatenate(parts) for parts in zip(*found.values(), strict=True))
        return {"score": task_score(said), **self._in_all(logits, targets), **said}

    @torch.no_grad()
    def _found(self, model: nn.Module, loader: TextLoader, amp: bool) -> Found:
        """What the model says of a split, over all processes, without what counts for nothing."""
        parts: list[Found] = []
        for batch in loader.epoch(0):
            with torch.autocast(batch.ids.device.type, torch.bfloat16, enabled=amp):
                logits = logits_of(model(*batch.inputs))
            counted = batch.targets != PADDING
            parts.append((logits[counted].double().cpu().numpy(), batch.targets[counted].double().cpu().numpy()))
        mine = tuple(np.concatenate(side) for side in zip(*parts, strict=True))
        every = distributed.gathered(mine)
        logits, targets = (np.concatenate(side) for side in zip(*every, strict=True))
        return logits, targets

    def _in_all(self, logits: NDArray[np.float64], targets: NDArray[np.float64]) -> dict[str, float]:
        said, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
        count = float(len(targets))
        if self.task.labels is None:
            return {"eval_loss": float(mse_loss(said[:, 0], wanted)), "images": count}
        right = 100 * float(np.mean(logits.argmax(1) == targets))
        return {"top1": right, "eval_loss": float(cross_entropy(said, wanted.long())), "images": count}
