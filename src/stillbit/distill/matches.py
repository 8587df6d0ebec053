"""Whether a store of labels is of these images: the same ones, in the same order, with the same classes.

A label belongs to the number of an image. So one image more at the front, and every label is another image's.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from stillbit.data.source import Source
from stillbit.distill.manifest import Data
from stillbit.distill.store import Store

ANEW = "write labels for these images, stillbit labels write"


def data_of(source: Source) -> Data:
    """What a store says of the images that its labels are of."""
    said = source.describe()
    if said.get("fresh"):
        raise ValueError("images that are drawn anew in every epoch have no labels of their own: leave out --fresh")
    if not said.get("fingerprint"):
        raise ValueError(f"labels are stored for images that can be told apart, and {said['kind']} has no fingerprint")
    fingerprint = str(said["fingerprint"])
    return Data(kind=str(said["kind"]), fingerprint=fingerprint, count=len(source), classes=source.classes)


def matches(store: Store, source: Source) -> None:
    """Raise if the labels of the store are not of these images, and say what is other, and what to do."""
    there, here = store.manifest.data, data_of(source)
    if there.kind != here.kind:
        raise ValueError(
            f"{store.folder} has labels for {there.kind}, and this is {here.kind}: give the data it was made from, "
            f"or {ANEW}"
        )
    if there.classes and there.classes != here.classes:
        raise ValueError(f"{store.folder} has labels for {_classes(there.classes, here.classes)}: {ANEW}")
    if there.count != here.count or there.fingerprint != here.fingerprint:
        raise ValueError(f"{store.folder} has labels for other images: {_images(store, source)}; put them back as they "
                         f"were, or {ANEW}")  # fmt: skip


def labels_of(source: Source) -> Int[ndarray, " samples"]:
    """The true class of every image."""
    return np.fromiter((source.label(index) for index in range(len(source))), np.int64, len(source))


def _classes(there: tuple[str, ...], here: tuple[str, ...]) -> str:
    lacks, adds = sorted(set(there) - set(here)), sorted(set(here) - set(there))
    if not lacks and not adds:
        return f"{len(there)} classes in another order"
    said = [f"lacks {_few(lacks)}"] * bool(lacks) + [f"adds {_few(adds)}"] * bool(adds)
    return f"{len(there)} classes, and the data, with {len(here)}, {' and '.join(said)}"


def _images(store: Store, source: Source) -> str:
    """Which classes have more or fewer than they had, as far as the true classes tell."""
    count, classes = store.manifest.count, len(source.classes)
    was, now = (np.bincount(held, minlength=classes) for held in (store.targets(), labels_of(source)))
    other = [f"{source.classes[i]} {was[i]} and not {now[i]}" for i in np.flatnonzero(was[:classes] != now)[:3]]
    if other:
        return f"{count:,} and not {len(source):,} (of {', '.join(other)})"
    return f"as many of each class, {count:,} in all, but renamed or in another order"


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
