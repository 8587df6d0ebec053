"""Small texts for small teachers, and the store that comes of them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stillbit.data.text_source import Texts
from stillbit.data.text_tables import Tables
from stillbit.data.text_tokens import tokenise
from stillbit.data.wordpiece import train_pieces
from stillbit.distill.examples import Examples
from stillbit.distill.manifest import Reading
from stillbit.distill.panel import Expert, Panel, Reads
from stillbit.distill.settings import WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import Work, request, write_labels
from tests.data.text_examples import LINES

PIECES = train_pieces([*LINES, "0123456789"], 200)
LONGEST = 20


class Reader(nn.Module):
    """Looks at the mean of its pieces, each by its text, and answers as a model of transformers does."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.word, self.kind = nn.Embedding(200, 8), nn.Embedding(2, 8)
        self.head = nn.Linear(8, 2)
        self.widths: list[int] = []

    def forward(self, ids: Tensor, mask: Tensor, types: Tensor | None = None) -> Any:
        self.widths.append(ids.size(1))
        seen = self.word(ids) * (1 if types is None else 1 + self.kind(types))
        mean = (seen * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return SimpleNamespace(logits=9 * self.head(mean))


def examples(texts: Texts, *, types: bool = True) -> Examples:
    """These texts as pieces."""
    tables = Tables(pieces=200, positions=LONGEST, types=2 * types, outputs=2, pad=0)
    return Examples(texts, tokenise(texts, PIECES, tables))


def reading(texts: Texts) -> Reading:
    return Reading(task=texts.task.name, tokenizer=PIECES.fingerprint, max_length=LONGEST)


def panel(*seeds: int, types: bool = True, precision: Any = "fp32") -> Panel:
    reads = Reads(tokenizer=PIECES.fingerprint, types=types)
    experts = [Expert(name=f"reader {seed}", model=Reader(seed), reads=reads) for seed in seeds or (0,)]
    return Panel(experts, 2, precision=precision)


def settings(folder: Path, **other: Any) -> WriteSettings:
    """Small batches and small files."""
    small = {"crops": 1, "batch_size": 8, "shard_samples": 20, "precision": "fp32"}
    return WriteSettings(output=folder, **small | other)


def written(folder: Path, texts: Texts, work: Work | None = None, **other: Any) -> Store:
    """The labels that a reader gives these texts."""
    seen, asked, wanted = examples(texts), panel(), settings(folder, **other)
    write_labels(folder, request(seen, asked, wanted, reading(texts)), seen, asked, work or Work())
    return Store(folder)


def told(texts: Texts, seed: int = 0) -> np.ndarray[Any, Any]:
    """What the reader says of each text, alone and without padding."""
    model, seen = Reader(seed).eval(), examples(texts)
    answers = []
    for number in range(len(texts)):
        view = seen.views(number).inputs.long()
        view = view[..., : int(view[0, 1].sum())]
        answers.append(model(*view.unbind(1)).logits.softmax(-1))
    return torch.cat(answers).detach().numpy()
