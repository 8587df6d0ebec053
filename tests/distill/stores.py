"""Small stores of labels, written by the format's own rules and without a teacher."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stillbit.distill import manifest as manifests
from stillbit.distill.layout import Layout, fill
from stillbit.distill.manifest import Crops, Data, Manifest, Shard, Teacher
from stillbit.distill.store import TARGETS, digest

TEACHER = Teacher(name="vit_pico_patch4_32", sha256="0" * 64, size=(16, 16), mean=(0.5,) * 3, std=(0.5,) * 3)
CROPS = Crops(scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), hflip=0.5, vflip=0.0, interpolation="bicubic")


def manifest(layout: Layout, count: int = 7, views: int = 4, shard_samples: int = 3, **other: Any) -> Manifest:
    """What a store of ``count`` samples would say of itself, before there are shards."""
    data = Data(kind="row", fingerprint="f", count=count, classes=())
    settled: dict[str, Any] = {
        "data": data,
        "teachers": (TEACHER,),
        "crops": CROPS if layout.boxes else None,
        "seed": 1,
        "batch_size": 2,
        "precision": "fp32",
        "made_with": {"torch": "2"},
    }
    return Manifest(layout=layout, views=views, shard_samples=shard_samples, **settled | other)


def store(folder: Path, wanted: Manifest, records: np.ndarray[Any, Any], targets: np.ndarray[Any, Any]) -> Path:
    """Write a finished store of these ``[samples, views]`` records."""
    folder.mkdir(parents=True, exist_ok=True)
    shards = []
    for number in range(wanted.shard_count):
        path = folder / manifests.shard_name(number)
        np.save(path, records[list(wanted.samples_of(number))])
        shards.append(Shard(name=path.name, samples=len(wanted.samples_of(number)), sha256=digest(path)))
    np.save(folder / TARGETS, targets.astype("<u4"))
    done = replace(wanted, shards=tuple(shards), targets_sha256=digest(folder / TARGETS))
    manifests.write(done, folder)
    return folder


def answers(count: int, classes: int, sharp: float = 2.0) -> torch.Tensor:
    """Probabilities as a teacher gives them; the same ones every time."""
    generator = torch.Generator().manual_seed(count * 31 + classes)
    return (torch.randn(count, classes, generator=generator) * sharp).softmax(-1)


def random_records(layout: Layout, samples: int, views: int) -> np.ndarray[Any, Any]:
    """Records of random views with random labels."""
    records = np.zeros((samples, views), layout.dtype)
    fill(records.reshape(-1), answers(samples * views, layout.classes), layout)
    if layout.boxes:
        chance = np.random.default_rng(0)
        corner = chance.integers(0, 30000, (samples, views, 2))
        records["box"] = np.concatenate([corner, chance.integers(1000, 35535, (samples, views, 2))], -1)
        records["flags"] = chance.integers(0, 2, (samples, views))
    return records


def small(folder: Path, layout: Layout | None = None, count: int = 7, views: int = 4, **other: Any) -> Path:
    """A store of random labels; the true classes take turns."""
    layout = layout or Layout(kind="marginal_smoothing", top_k=3, classes=11)
    wanted = manifest(layout, count, views, **other)
    return store(folder, wanted, random_records(layout, count, views), np.arange(count) % layout.classes)
