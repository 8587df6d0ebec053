"""Data sets of generated sentences: nothing to download, and everything known about what is true of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from stillbit.data import text_acceptability, text_entailment, text_paraphrase
from stillbit.data.grammar import Draw, Group, grow
from stillbit.data.text_source import Texts
from stillbit.data.text_tasks import GENERATED, find_task

_MAKERS: dict[str, tuple[int, Callable[[Draw], Group | None]]] = {
    "entailment": (0, text_entailment.make),
    "acceptability": (1, text_acceptability.make),
    "paraphrase": (2, text_paraphrase.make),
}


def generate(task: str, split: Literal["train", "val"], examples: int, seed: int = 0) -> Texts:
    """``examples`` sentences or pairs of a generated task: a function of the arguments.

    No sentence of one split is in the other, of whatever seed.
    """
    if task not in _MAKERS:
        raise ValueError(f"the task {task} is not a generated one: use {', '.join(t.name for t in GENERATED)}")
    if examples < 1:
        raise ValueError(f"a data set has at least one example, got {examples}: examples=2000")
    number, make = _MAKERS[task]
    found = grow(make, split, examples, (number, split == "val", seed))
    sides = tuple(zip(*(example.sentences for example in found), strict=True))
    second = sides[1] if len(sides) == 2 else None
    targets = np.array([example.label for example in found], np.int64)
    origin = f"{task} of seed {seed}, {split}"
    return Texts(find_task(task), sides[0], second, targets, np.arange(len(found)), origin, "example")
