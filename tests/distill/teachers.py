"""Small things to be shown to small teachers: images of many sizes, and pairs of sentences."""

from __future__ import annotations

import time
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.data.look import Look
from stillbit.data.source import DamagedImage
from stillbit.distill.manifest import Data, Manifest
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.seen import Images, Views
from stillbit.distill.settings import WriteSettings
from tests.data.pictures import pixels

LOOK = Look((8, 8), 3, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
CLASSES = ("ape", "bee", "cat", "dog", "emu", "fox", "gnu")


class Zoo:
    """Images in memory, each of a size of its own; some are damaged. Keeps count of how often it decodes."""

    def __init__(self, count: int, damaged: Sequence[int] = (), log: Path | None = None, wait: float = 0.0) -> None:
        self.count, self.damaged, self.log, self.wait, self.classes = count, damaged, log, wait, CLASSES

    def __len__(self) -> int:
        return self.count

    def image(self, index: int, epoch: int) -> Tensor:
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{index}\n")
        time.sleep(self.wait)
        if index in self.damaged:
            raise DamagedImage(self.name(index), "it is empty")
        return pixels(20 + index % 5, 24 - index % 3, index)

    def label(self, index: int) -> int:
        return index % len(CLASSES)

    def name(self, index: int) -> str:
        return f"animal {index}"

    def describe(self) -> dict[str, Any]:
        return {"kind": "zoo", "count": self.count, "fingerprint": sha256(str(self.count).encode()).hexdigest()}


def settings(output: Path, **other: Any) -> WriteSettings:
    """Few crops in small batches and small files."""
    return WriteSettings(
        output=output, **({"crops": 5, "batch_size": 8, "shard_samples": 4, "seed": 3, "precision": "fp32"} | other)
    )


def images(source: Any, wanted: WriteSettings, look: Look = LOOK) -> Images:
    return Images(source, look, wanted.augment(), count=wanted.crops, seed=wanted.seed)


def network(seed: int = 0, outputs: int = len(CLASSES), look: Look = LOOK) -> nn.Sequential:
    """A teacher that is sure of what it says; the same numbers for the same seed."""
    torch.manual_seed(seed)
    inside = look.channels * look.size[0] * look.size[1]
    model = nn.Sequential(
        nn.Conv2d(look.channels, look.channels, 3, padding=1),
        nn.BatchNorm2d(look.channels),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(inside, outputs),
    )
    model[4].weight.data.mul_(3)
    return model


def panel(*seeds: int, precision: Any = "fp32", outputs: int = len(CLASSES)) -> Panel:
    experts = [Expert(name=f"net {seed}", model=network(seed, outputs), look=LOOK) for seed in seeds or (0,)]
    return Panel(experts, outputs, precision=precision)


class Pairs:
    """Pairs of sentences of a tiny grammar; the class says whether the second follows from the first."""

    WORDS = ("the", "cat", "dog", "sleeps", "runs", "moves")
    crops = None

    def __init__(self, count: int) -> None:
        chance = np.random.default_rng(1)
        who, what, other = chance.integers(0, 2, (3, count))
        moves = chance.integers(0, 2, count)
        # "the cat runs | the cat moves": who runs moves, and who sleeps does not.
        first = np.stack([np.zeros(count), 1 + who, 3 + what], -1)
        second = np.stack([np.zeros(count), 1 + (who ^ other), np.where(moves, 5, 3 + what)], -1)
        self.tokens = torch.from_numpy(np.concatenate([first, second], -1)).long()
        self.follows = (other == 0) & ((what == 1) | (moves == 0))
        fingerprint = sha256(self.tokens.numpy().tobytes()).hexdigest()
        self.data = Data(kind="pairs", fingerprint=fingerprint, count=count, classes=("no", "yes"))

    def targets(self) -> np.ndarray[Any, Any]:
        return self.follows.astype(np.int64)

    def views(self, sample: int) -> Views:
        return Views(self.tokens[sample][None])


class Reader(nn.Module):
    """Embeds the words of a pair and looks at all of them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.embed = nn.Embedding(len(Pairs.WORDS), 5)
        self.head = nn.Linear(30, 2)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.head(self.embed(tokens).flatten(1))
        return logits


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def decoded(log: Path) -> list[int]:
    """Which images a `Zoo` was asked for, in any process."""
    return [int(line) for line in log.read_text().splitlines()] if log.exists() else []


def plain(wanted: Manifest) -> int:
    """Views in all."""
    return wanted.count * wanted.views
