"""Stores that a real teacher wrote, of images that a student can then learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings
from stillbit.data.source import Source
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.seen import Images
from stillbit.distill.settings import WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import Work, request, write_labels
from tests.data.pictures import Row

LOOK = Look((16, 16))


class Numbered(Row):
    """A row of images that can be told from others."""

    def describe(self) -> dict[str, Any]:
        return {"kind": "row", "count": self.count, "fingerprint": f"row of {self.count}"}


class Network(nn.Module):
    """A teacher or a student; the same numbers for the same seed."""

    def __init__(self, classes: int = 3, seed: int = 1, look: Look = LOOK, width: int = 16) -> None:
        super().__init__()
        torch.manual_seed(seed)
        inputs = look.channels * look.size[0] * look.size[1]
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(inputs, width), nn.LayerNorm(width), nn.GELU(), nn.Linear(width, classes)
        )
        self.num_classes = classes

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = 3 * self.layers(images)
        return logits


def written(folder: Path, source: Source, model: nn.Module, look: Look = LOOK, **settings: Any) -> Store:
    """The labels that ``model`` gives ``source``, in float32."""
    wanted: dict[str, Any] = {"crops": 6, "batch_size": 16, "precision": "fp32", "shard_samples": 7, "vflip": 0.3}
    asked = WriteSettings(output=folder, **wanted | settings)
    augment: AugmentSettings = asked.augment()
    expert = Expert(name="a teacher", model=model, look=look)
    panel = Panel([expert], len(source.classes), precision=asked.precision)
    seen = Images(source, look, augment, count=asked.crops, seed=asked.seed)
    write_labels(folder, request(seen, panel, asked), seen, panel, Work(corrupt="skip"))
    return Store(folder)
