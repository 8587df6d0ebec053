"""Handwritten digits from float to integers: train a small transformer, quantize it, look, train it on, deploy it.

Run it with ``python examples/digits.py``: your own loop, without the command line. It needs scikit-learn for the data
and takes about a minute on two cores.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import stillbit

console = Console(highlight=False)


def digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """1,797 images of 8 x 8 pixels, every fourth of them kept for testing."""
    bunch = load_digits()
    images = torch.from_numpy(np.asarray(bunch.images, dtype=np.float32))[:, None] / 8 - 1
    labels = torch.from_numpy(np.asarray(bunch.target, dtype=np.int64))
    held_out = torch.arange(len(labels)) % 4 == 0
    return images[~held_out], labels[~held_out], images[held_out], labels[held_out]


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int, rate: float) -> None:
    """AdamW and a cosine: anyone's own loop."""
    scales = [p for name, p in model.named_parameters() if "_quantizer." in name]
    others = [p for name, p in model.named_parameters() if "_quantizer." not in name]
    groups = [{"params": others, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=rate)
    batch = 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * (len(images) // batch), pct_start=0.2)
    model.train()
    for _ in range(epochs):
        order = torch.randperm(len(images))
        for step in range(len(images) // batch):
            picked = order[step * batch : (step + 1) * batch]
            loss = cross_entropy(model(images[picked]), labels[picked])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Percent right."""
    return (model.eval()(images).argmax(1) == labels).double().mean().item() * 100


def main() -> None:
    """Float, calibrated, trained."""
    torch.manual_seed(0)
    images, labels, test_images, test_labels = digits()
    model = VisionTransformer(
        img_size=8, patch_size=2, in_chans=1, num_classes=10, embed_dim=64, depth=4, num_heads=4, global_pool="avg"
    )
    began = time.perf_counter()
    train(model, images, labels, epochs=30, rate=2e-3)
    reference = accuracy(model, test_images, test_labels)
    console.print(
        f"float: {reference:.1f} % of the test digits right, trained in {time.perf_counter() - began:.0f} s\n"
    )

    table = Table(title="before and after training on the grid", title_justify="left", box=None, header_style="bold")
    for column in ("bits", "size", "calibrated only", "after 10 epochs"):
        table.add_column(column, justify="right")
    quantized = model
    for bits in (8, 4, 3, 2):
        quantized = stillbit.quantize(model, f"w{bits}a{bits}")
        stillbit.calibrate(quantized, [images[:512]])
        start = accuracy(quantized, test_images, test_labels)
        train(quantized, images, labels, epochs=10, rate=1e-3)
        end = accuracy(quantized, test_images, test_labels)
        size = stillbit.summary(quantized).weight_bytes / 1000
        table.add_row(f"W{bits}A{bits}", f"{size:.0f} kB", f"{start:.1f} %", f"{end:.1f} %")
    console.print(table)
    console.print("\nwhat the two-bit model computes on:")
    print(stillbit.summary(quantized))

    deployed = stillbit.convert(quantized)
    right = (deployed(test_images).argmax(1) == test_labels).double().mean().item() * 100
    console.print(f"\nits integers alone, without a quantizer: {right:.1f} % right, and code by code:")
    print(deployed.verify(test_images[:64]))


if __name__ == "__main__":
    main()
