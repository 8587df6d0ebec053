"""What the labels of a store are like: how often the teacher is right, how sure it is, and what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from stillbit.distill.boxes import ONE
from stillbit.distill.kinds import shares_rest
from stillbit.distill.layout import FLIP, UNLABELLED, Layout
from stillbit.distill.store import Store

ENOUGH = 20_000
"""Samples that are looked at where nobody asks for more: a share of them is right to about half a percent."""
_BLOCK = 1 << 24
"""Bytes of records that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class About:
    """Means over the views of the samples that were looked at."""

    looked_at: int
    """Samples, spread evenly over the store."""
    unlabelled: int
    """Of these, the damaged ones, which have no labels and do not count below."""
    agreement: float
    """Share of the views whose likeliest class is the true one."""
    agreement_of_samples: float
    """Share of the samples where the class that is likeliest in most views is the true one."""
    entropy: float
    """Of a label, in nats, as training understands it: with what the classes that are not listed get."""
    kept: float | None
    """Probability of the classes that are listed; None where all are, or where it was not kept."""
    area: float | None
    """Share of the image that a crop shows; None for text."""
    flipped: float | None
    """Share of the views that are flipped; None for text."""


def about(store: Store, samples: int | None = ENOUGH, progress: Callable[[int, int], None] | None = None) -> About:
    """Look at some samples (all, if None), a few megabytes at a time; ``progress`` hears (samples, all of them)."""
    chosen = _spread(len(store), samples)
    truths = store.targets()
    sums, looked, right = np.zeros(6), 0, 0
    for here, records in _blocks(store, chosen):
        labelled = _labelled(records, store.layout)
        first, targets = likeliest(records, store.layout), truths[here]
        right += sum(_most(row) == target for row, target in zip(first[labelled], targets[labelled], strict=True))
        sums += _sums(records[labelled], (first == targets[:, None])[labelled], store.layout)
        looked += len(here)
        if progress is not None:
            progress(looked, len(chosen))
    views = max(1.0, sums[0])
    listed, boxes = store.layout.kind not in ("full", "hard"), store.layout.boxes
    return About(
        looked_at=len(chosen),
        unlabelled=len(chosen) - int(sums[0]) // store.views,
        agreement=float(sums[1] / views),
        agreement_of_samples=right / max(1, int(sums[0]) // store.views),
        entropy=float(sums[2] / views),
        kept=float(sums[3] / views) if listed else None,
        area=float(sums[4] / views) if boxes else None,
        flipped=float(sums[5] / views) if boxes else None,
    )


def agreement(store: Store, samples: int | None = ENOUGH) -> float:
    """In what share of the views the teacher's likeliest class is the true one."""
    return about(store, samples).agreement


def likeliest(records: ndarray[Any, Any], layout: Layout) -> Int[ndarray, "*views"]:
    """The likeliest class of every view."""
    if layout.kind == "full":
        return np.asarray(records["probabilities"].argmax(-1), np.int64)
    return np.asarray(records["classes"][..., 0], np.int64)


def entropies(records: ndarray[Any, Any], layout: Layout) -> Float[ndarray, "*views"]:
    """The entropy of every label in nats, from what is listed: the whole label is never made."""
    if layout.kind == "hard":
        return np.zeros(records.shape)
    values = np.asarray(records["probabilities"], np.float64)
    sums = values.sum(-1)
    if layout.kind == "marginal_renorm":
        values = values / np.maximum(sums, np.finfo(np.float16).smallest_subnormal)[..., None]
    found = -_times_its_log(values).sum(-1)
    others = layout.classes - layout.kept
    if shares_rest(layout.kind) and others:
        rest = np.maximum(1 - sums, 0)
        found += rest * np.log(others) - _times_its_log(rest)
    return np.asarray(found)


def _spread(count: int, samples: int | None) -> Int[ndarray, " chosen"]:
    some = count if samples is None else min(samples, count)
    return np.arange(some) * count // some


def _blocks(
    store: Store, chosen: Int[ndarray, " chosen"]
) -> Iterator[tuple[Int[ndarray, " block"], ndarray[Any, Any]]]:
    size = max(1, _BLOCK // (store.views * store.layout.bytes_a_view))
    for at in range(0, len(chosen), size):
        here = chosen[at : at + size]
        yield here, np.stack([store.records(sample) for sample in here.tolist()])


def _labelled(records: ndarray[Any, Any], layout: Layout) -> Bool[ndarray, " samples"]:
    if not layout.boxes:
        return np.ones(len(records), bool)
    return np.asarray((records["flags"][:, 0] & UNLABELLED) == 0)


def _sums(records: ndarray[Any, Any], right: Bool[ndarray, "samples views"], layout: Layout) -> Float[ndarray, 6]:
    """Views, and over them: right, entropy, kept, area, flipped."""
    kept = records["probabilities"].sum(-1, dtype=np.float64).sum() if layout.kind != "hard" else 0.0
    sums = [records.size, right.sum(), entropies(records, layout).sum(), kept, 0.0, 0.0]
    if layout.boxes:
        sides = records["box"][..., 2:] / ONE
        sums[4:] = [sides.prod(-1).sum(), ((records["flags"] & FLIP) > 0).sum()]
    return np.array(sums, np.float64)


def _most(classes: Int[ndarray, " views"]) -> int:
    """The class that comes most often; the lowest of several."""
    found, counts = np.unique(classes, return_counts=True)
    return int(found[counts.argmax()])


def _times_its_log(values: Float[ndarray, "*shape"]) -> Float[ndarray, "*shape"]:
    """0 log 0 is 0."""
    return values * np.log(np.where(values > 0, values, 1))
