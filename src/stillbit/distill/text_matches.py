"""Whether a store of labels is of these texts: the same ones in the same order, of one task, cut into the same pieces.

A label belongs to the number of an example. So one line more at the top of a file, and every label is another line's.
"""

from __future__ import annotations

import numpy as np

from stillbit.data.text_source import Texts
from stillbit.distill.examples import text_data
from stillbit.distill.manifest import Reading
from stillbit.distill.store import Store

ANEW = "write labels for these texts, stillbit labels write --task"


def reading_of(store: Store) -> Reading:
    """How the texts of a store became pieces; a store of anything else is of no use to a training on texts."""
    said = store.manifest
    if said.reading is None:
        kind = "images" if said.layout.boxes else said.data.kind
        raise ValueError(f"{store.folder} has labels for {kind}, and this is about texts: give labels of texts, which "
                         "stillbit labels write --task makes")  # fmt: skip
    return said.reading


def texts_match(store: Store, texts: Texts) -> None:
    """Raise if the labels of the store are not of these texts, and say what is other, and what to do."""
    there, here, task = store.manifest.data, text_data(texts), texts.task.name
    was = reading_of(store)
    if was.task != task:
        raise ValueError(f"{store.folder} has labels for the task {was.task}, and this is {task}: --task {was.task}, "
                         f"or {ANEW} {task}")  # fmt: skip
    if there.classes != here.classes:
        raise ValueError(
            f"{store.folder} has labels for the classes {', '.join(there.classes)}, and these texts have "
            f"{', '.join(here.classes)}: give --class-names as they were, or {ANEW} {task}"
        )
    if (there.count, there.fingerprint) != (here.count, here.fingerprint):
        raise ValueError(
            f"{store.folder} has labels for other texts: {_other(store, texts)}; give the texts it was made from, or "
            f"{ANEW} {task}"
        )


def reads_alike(store: Store, reading: Reading) -> None:
    """Raise if a student reads these texts in other pieces than the teacher did."""
    was = reading_of(store)
    if was.tokenizer != reading.tokenizer:
        raise ValueError(
            f"the labels of {store.folder} are of texts cut by another tokenizer: give the one of the teacher, "
            f"--tokenizer FOLDER, or {ANEW} {reading.task}"
        )
    if was.max_length != reading.max_length:
        raise ValueError(
            f"the labels of {store.folder} are of at most {was.max_length} pieces a sequence, and this reads "
            f"{reading.max_length}: --max-length {was.max_length}, if the model has as many positions, or "
            f"{ANEW} {reading.task} --max-length {reading.max_length}"
        )


def _other(store: Store, texts: Texts) -> str:
    """Which classes have more or fewer examples than they had, as far as the true classes tell."""
    names = texts.task.labels or ()
    was, now = (
        np.bincount(np.asarray(held, np.int64), minlength=len(names)) for held in (store.targets(), texts.targets)
    )
    other = [f"{names[i]} {was[i]} and not {now[i]}" for i in np.flatnonzero(was != now)[:3]]
    if other:
        return f"{len(store):,} and not {len(texts):,} (of {', '.join(other)})"
    return f"as many of each class, {len(store):,} in all, but changed or in another order"
