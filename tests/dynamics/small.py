"""A quantized transformer of a few thousand weights, and trainings of it that take milliseconds a step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from stillbit import Plan, calibrate, quantize
from stillbit.data.batch import Batch
from stillbit.dynamics.penalty import Task
from stillbit.layers.walk import QuantizedWeight, scale_names, weights
from stillbit.quantizers.spec import Spec, build
from stillbit.train import optim
from stillbit.train.distributed import Share
from stillbit.train.hooks import Hook
from stillbit.train.loop import Loop
from stillbit.train.settings import MachineSettings, OptimSettings
from stillbit.train.state import Training

ALONE = Share(0, 1, torch.device("cpu"))


def vit(bits: int = 2, weight: str = "lsq", **options: Any) -> Any:
    """The same numbers at every call; first and last layer at 8 bits."""
    torch.manual_seed(1)
    model = VisionTransformer(img_size=16, patch_size=8, embed_dim=24, num_heads=3, depth=1, num_classes=5)
    model = quantize(model, Plan.uniform(bits, 4, weight=weight, **options))
    calibrate(model, [batch().images])
    return model


def batch(count: int = 8) -> Batch:
    chance = torch.Generator().manual_seed(3)
    images = torch.randn(count, 3, 16, 16, generator=chance)
    return Batch(images, torch.randint(5, (count,), generator=chance), torch.arange(count))


class Fit:
    """Cross-entropy with the labels."""

    def prepare(self, batch: Batch) -> Batch:
        return batch

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        return {"loss": cross_entropy(model(batch.images).float(), batch.targets)}


def training(model: nn.Module, **settings: Any) -> Training:
    chosen = OptimSettings(**{"lr": 1e-2, **settings})
    return Training(model, model, optim.build(model, chosen, apart=scale_names(model)))


def train(training: Training, steps: int, hooks: Sequence[Hook] = (), task: Task | None = None, **machine: Any) -> Loop:
    """So many steps on one batch."""
    loop = Loop(task or Fit(), hooks, MachineSettings(**machine), ALONE, None)
    training.model.train()
    for _ in range(steps):
        losses = loop.step(training, batch(), 8)
        for hook in hooks:
            hook.after_step(training, losses)
    return loop


def low(model: nn.Module) -> dict[str, QuantizedWeight]:
    """The weights of up to four bits."""
    return {w.name: w for w in weights(model) if w.bits <= 4}


def latents(model: nn.Module) -> dict[str, Tensor]:
    return {name: w.parameter.detach().clone() for name, w in low(model).items()}


def codes(model: nn.Module) -> dict[str, Tensor]:
    return {name: w.codes() for name, w in low(model).items()}


def quantizer(method: str, bits: int, blocks: tuple[int, ...], x: Tensor) -> Any:
    """A weight quantizer started on ``x``."""
    made = build(Spec(bits, method), "weight", blocks, "signed")
    assert made is not None
    made.to(x.dtype).start(x)
    return made
