"""Stored labels of texts in training: what the teacher said of each example of a batch."""

from __future__ import annotations

from typing import final

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from stillbit.distill.replay import answers
from stillbit.distill.store import Store
from stillbit.distill.text_matches import reading_of


@final
class Said:
    """Answers by the numbers of examples. An example has one view, so every epoch learns the same labels."""

    def __init__(self, store: Store) -> None:
        """``store`` has labels of the texts that the numbers count."""
        reading_of(store)
        self.store = store

    def __call__(self, numbers: Int[ndarray, " n"]) -> tuple[Int[Tensor, "n k"] | None, Float[Tensor, "n k"]]:
        """The classes that the teacher lists (None for all of them), and how likely it finds each."""
        return answers(np.concatenate([self.store.records(int(number)) for number in numbers]))
