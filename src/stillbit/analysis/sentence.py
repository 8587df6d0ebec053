"""A text as its tokens: what attention over it is shown with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from torch import Tensor, nn

from stillbit.analysis.given import Given
from stillbit.analysis.maps import Reading
from stillbit.analysis.probabilities import Attended
from stillbit.data.text import TextBatch

SHOWN = 32
"""Tokens of a text at most, of which maps are kept."""
Words = Callable[[int], str | None]
"""From the number of a piece to the piece, as ``id_to_token`` of a tokenizer is."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A text that maps are shown over."""

    number: int
    """As its batch counts it."""
    target: float
    """Its class."""
    tokens: tuple[str, ...]
    """Its pieces as the model sees them, with those that begin and end it and without padding; `SHOWN` at most."""
    of: int
    """How many it has in all."""


def reading_of_text(model: nn.Module) -> Reading:
    """How maps over tokens are read: what the first one attends to, where the model answers from that one."""
    return Reading((1, -1), 0, type(model).__name__.endswith("ForSequenceClassification"))


def cuts(held: Mapping[str, Attended], batch: Given) -> Iterator[dict[str, Attended]]:
    """What belongs together: all images of a batch, or one text after the other, cut to its tokens."""
    if not isinstance(batch, TextBatch):
        yield dict(held)
        return
    for index, mask in enumerate(batch.mask.bool()):
        there = mask.nonzero()[:, 0]
        yield {name: _of_tokens(attended[index], there).unsqueeze(0) for name, attended in held.items()}


def _of_tokens(attended: Tensor, there: Tensor) -> Tensor:
    return attended[:, there][:, :, there]


def sentences_of(batches: Sequence[Given], words: Words | None, keep: int) -> tuple[Sentence, ...]:
    """The first ``keep`` texts; a piece that nobody has a word for is called by its number."""
    every = ((batch, index) for batch in batches if isinstance(batch, TextBatch) for index in range(len(batch.ids)))
    return tuple(_sentence(batch, index, words) for batch, index in islice(every, keep))


def _sentence(batch: TextBatch, index: int, words: Words | None) -> Sentence:
    numbers = batch.ids[index][batch.mask[index].bool()].tolist()
    said = [(None if words is None else words(number)) or f"#{number}" for number in numbers[:SHOWN]]
    return Sentence(
        number=int(batch.indices[index]), target=float(batch.targets[index]), tokens=tuple(said), of=len(numbers)
    )
