"""Batches of texts: padded as far as each needs, in an order without history."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from stillbit.data.batch import PADDING
from stillbit.data.loaders import Place
from stillbit.data.order import PADDED, Key, Order, Steps
from stillbit.data.text_order import Bucketed
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_tokens import Tokens

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class TextBatch(NamedTuple):
    """Sequences of pieces on the device, their targets, and their numbers in the source."""

    ids: Int[Tensor, "n t"]
    mask: Int[Tensor, "n t"]
    """1 for a piece, 0 for padding."""
    types: Int[Tensor, "n t"] | None
    targets: Int[Tensor, n] | Float[Tensor, n]
    indices: Int[Tensor, n]
    classes: Int[Tensor, "n k"] | None = None
    """As in a batch of images: what a teacher said, where that was stored."""
    probabilities: Float[Tensor, "n k"] | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a model is called with."""
        return (self.ids, self.mask) if self.types is None else (self.ids, self.mask, self.types)

    @property
    def named(self) -> dict[str, Tensor]:
        """The same, by the names that transformers has for them."""
        return dict(zip(NAMES, self.inputs, strict=False))


Answers = Callable[[Int[np.ndarray, "n"]], tuple[Int[Tensor, "n k"] | None, Float[Tensor, "n k"]]]
"""From the numbers of examples to what a teacher said of each: the classes it lists, and how likely it finds them."""


@final
class TextLoader:
    """Batches for training (shuffled, whole batches only) or for evaluation (in order, all examples).

    It loads in the training process: a batch is cut out of arrays that are in memory. Two processes with half the batch
    see together what one process with the whole batch sees, except that each pads to its own longest sequence.
    """

    def __init__(
        self,
        tokens: Tokens,
        settings: TextSettings,
        *,
        training: bool = False,
        seed: int = 0,
        place: Place | None = None,
        answers: Answers | None = None,
    ) -> None:
        """``answers`` are those of a teacher, where they were stored."""
        self.answers = answers
        self.tokens, self.training, self.place = tokens, training, place or Place()
        self.multiple = settings.pad_multiple
        rank, world, count = self.place.rank, self.place.world, len(tokens)
        self._order: Steps = Order(count, settings.batch_size, seed if training else None, rank, world)
        if training and settings.bucket:
            self._order = Bucketed(tokens.lengths, settings.batch_size, settings.bucket, seed, rank=rank, world=world)
        if not len(self._order):
            raise ValueError(
                f"a batch of {settings.batch_size * world} is larger than the data, {count} examples: "
                f"--batch-size {max(1, count // world)} or less"
            )

    def __len__(self) -> int:
        """Steps an epoch."""
        return len(self._order)

    @property
    def samples(self) -> int:
        """Examples that count in an epoch, over all ranks."""
        return self._order.samples

    @property
    def damaged(self) -> list[tuple[str, str]]:
        """Nothing: what is damaged was left out when the texts were read."""
        return []

    def epoch(self, epoch: int, start: int = 0) -> Iterator[TextBatch]:
        """The batches from step ``start`` on."""
        self._order.epoch, self._order.start = epoch, start
        return map(self._batch, self._order)

    def _batch(self, keys: Sequence[Key]) -> TextBatch:
        """All of them side by side: row i, column j holds piece j of sequence i, or padding."""
        tokens, numbers = self.tokens, np.array([number for _, number in keys])
        counts = numbers != PADDED
        # A rank for which nothing is left gets a sequence like any other, whose target says that it counts for nothing.
        taken = np.where(counts, numbers, 0)
        lengths = tokens.lengths[taken]
        width = min(-(-int(lengths.max()) // self.multiple) * self.multiple, tokens.positions)
        columns = np.arange(width)
        mask = columns < lengths[:, None]
        places = np.where(mask, tokens.starts[taken][:, None] + columns, 0)
        ids = np.where(mask, tokens.ids[places], tokens.pad)
        types = None if tokens.types is None else np.where(mask, tokens.types[places], 0)
        targets = np.where(counts, tokens.targets[taken], np.array(PADDING, tokens.targets.dtype))
        return TextBatch(
            self._moved(ids.astype(np.int64)),
            self._moved(mask.astype(np.int64)),
            None if types is None else self._moved(types.astype(np.int64)),
            self._moved(targets),
            self._moved(numbers),
            *self._said(numbers),
        )

    def _said(self, numbers: Int[np.ndarray, n]) -> tuple[Tensor | None, Tensor | None]:
        """What a teacher said, where that was stored."""
        if self.answers is None:
            return None, None
        classes, probabilities = self.answers(numbers)
        return None if classes is None else self._moved(classes), self._moved(probabilities)

    def _moved(self, array: np.ndarray | Tensor) -> Tensor:
        tensor = torch.as_tensor(array)
        if torch.device(self.place.device).type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.place.device, non_blocking=True)
