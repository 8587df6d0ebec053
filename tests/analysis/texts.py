"""Small models that read, and batches of texts for them: some padded, with numbers for words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from stillbit.data.text import TextBatch
from tests.surgery import tiny_hf

LENGTHS = (9, 12, 5, 7, 11, 3)
START, END = 2, 3
"""Pieces that begin and end a text."""
READERS = ("bert", "roberta", "distilbert")


def reader(family: str = "bert", *, blocks: int = 2, labels: int = 3, **options: Any) -> Any:
    """A model in float64, of as many blocks, whose attention differs from token to token."""
    own = {"n_layers": blocks} if family == "distilbert" else {"num_hidden_layers": blocks}
    model = tiny_hf.READERS[family](**own, num_labels=labels, **options).double().eval()
    for name, weight in model.named_parameters():
        if weight.dim() > 1:
            weight.data *= 12 if name.rpartition(".")[0].endswith(("query", "key", "q_lin", "k_lin")) else 4
    return model


def texts(lengths: tuple[int, ...] = LENGTHS, *, size: int = 4, types: bool = False, seed: int = 7) -> list[TextBatch]:
    """Texts of these lengths, ``size`` a batch, each padded to the longest of its batch."""
    chance = torch.Generator().manual_seed(seed)
    return [_batch(lengths[first : first + size], first, chance, types=types) for first in range(0, len(lengths), size)]


def _batch(lengths: tuple[int, ...], first: int, chance: torch.Generator, *, types: bool) -> TextBatch:
    wide = max(lengths)
    mask = (torch.arange(wide) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(END + 1, tiny_hf.WORDS, mask.shape, generator=chance)
    ids[:, 0] = START
    ids[torch.arange(len(lengths)), torch.tensor(lengths) - 1] = END
    numbers = torch.arange(first, first + len(lengths))
    kinds = torch.zeros_like(mask) if types else None
    return TextBatch(ids.masked_fill(mask == 0, tiny_hf.PAD), mask, kinds, numbers % 3, 10 + numbers)


def alone(batch: TextBatch, index: int) -> tuple[Tensor, Tensor]:
    """One text of a batch without its padding, and its mask."""
    held = batch.mask[index].bool()
    return batch.ids[index][held][None], batch.mask[index][held][None]
