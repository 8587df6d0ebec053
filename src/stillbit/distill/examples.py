"""Texts as a teacher is shown them: one view an example, for nothing is cropped.

A view is a few rows of numbers: pieces, mask, and (if the teacher asks) types. All views are as wide as the longest
example; the panel leaves out what is padding in a whole batch, so a teacher reads what it read when it was trained.
"""

from __future__ import annotations

from typing import final

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from stillbit.data.text_source import Texts
from stillbit.data.text_tokens import Tokens
from stillbit.distill.manifest import Data
from stillbit.distill.seen import Views


@final
class Examples:
    """The examples of a split as pieces, in their order."""

    crops = None

    def __init__(self, texts: Texts, tokens: Tokens) -> None:
        """``tokens`` are the pieces of ``texts``."""
        assert len(texts) == len(tokens), "each text has its pieces"
        self.texts, self.tokens, self.data = texts, tokens, text_data(texts)
        self._width = int(tokens.lengths.max())

    def name(self, sample: int) -> str:
        """What to call an example in a message."""
        return self.texts.name(sample)

    def targets(self) -> Int[ndarray, " samples"]:
        """The true class of every example."""
        return np.asarray(self.texts.targets, np.int64)

    def views(self, sample: int) -> Views:
        """The one view of an example."""
        tokens = self.tokens
        pieces = slice(int(tokens.starts[sample]), int(tokens.starts[sample + 1]))
        count = pieces.stop - pieces.start
        rows = np.zeros((2 if tokens.types is None else 3, self._width), np.int32)
        rows[0] = tokens.pad
        rows[0, :count] = tokens.ids[pieces]
        rows[1, :count] = 1
        if tokens.types is not None:
            rows[2, :count] = tokens.types[pieces]
        return Views(torch.from_numpy(rows)[None])


def text_data(texts: Texts) -> Data:
    """What a store says of the texts that its labels are of."""
    if texts.task.labels is None:
        raise ValueError(
            f"{texts.task.name} has a number for each example and no classes, and a store keeps probabilities of "
            "classes: ask the teacher at every step, --teacher RUN"
        )
    said = texts.describe()
    return Data(kind="text", fingerprint=said["fingerprint"], count=len(texts), classes=texts.task.labels)
