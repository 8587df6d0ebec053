"""A data set of texts as numbers: tokenised once, and kept in a few flat arrays."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal, final

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy import ndarray

from stillbit.data.text_source import Texts
from stillbit.data.text_tables import Tables, longest
from stillbit.data.wordpiece import Pieces

_AT_ONCE = 4096
"""Texts that the tokenizer gets at once: enough to keep its threads busy, and few enough to forget soon."""


@final
@dataclass(frozen=True, eq=False)
class Tokens:
    """Sequences one after the other: that of example i lies from ``starts[i]`` to ``starts[i + 1]``."""

    ids: Int[ndarray, pieces]
    types: UInt8[ndarray, pieces] | None
    """Which text a piece is of; None for a model that does not ask."""
    starts: Int[ndarray, bounds]
    targets: Int[ndarray, n] | Float[ndarray, n]
    pad: int
    positions: int
    """How wide a batch may be."""
    truncated: int
    """How many sequences lost their end."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Int[ndarray, n]:
        """Pieces of every sequence."""
        return np.diff(self.starts)

    def describe(self) -> dict[str, Any]:
        """Plain data for the record of a run."""
        lengths = self.lengths
        return {"longest": int(lengths.max()), "mean": float(lengths.mean()), "truncated": self.truncated}


def tokenise(
    texts: Texts,
    pieces: Pieces,
    tables: Tables,
    max_length: int | None = None,
    too_long: Literal["truncate", "fatal"] = "truncate",
) -> Tokens:
    """The sequences of all examples. Of a pair that is too long, the longer text loses its end first."""
    most = longest(max_length, tables)
    tokenizer = type(pieces.tokenizer).from_str(pieces.tokenizer.to_str())  # the caller's own is not to be changed
    tokenizer.enable_truncation(most, strategy="longest_first")
    ids, types, lengths, truncated = [], [], [], 0
    for begin in range(0, len(texts), _AT_ONCE):
        found = tokenizer.encode_batch_fast(_asked(texts, slice(begin, begin + _AT_ONCE)))
        cut = [number for number, one in enumerate(found, start=begin) if one.overflowing]
        if cut and too_long == "fatal":
            raise ValueError(_too_long(texts, cut[0], pieces, most))
        truncated += len(cut)
        # Arrays as soon as possible: a list of numbers takes ten times the memory.
        said = [one.ids for one in found]
        lengths.append(np.array([len(one) for one in said]))
        ids.append(np.fromiter(chain.from_iterable(said), np.int32))
        if tables.types:
            types.append(np.fromiter(chain.from_iterable(one.type_ids for one in found), np.uint8))
            _check_types(int(types[-1].max()) + 1, tables)
    return Tokens(
        np.concatenate(ids),
        np.concatenate(types) if types else None,
        np.concatenate([[0], np.cumsum(np.concatenate(lengths))]),
        texts.targets,
        pieces.pad,
        tables.positions,
        truncated,
    )


def _check_types(kinds: int, tables: Tables) -> None:
    if kinds > tables.types:
        raise ValueError(
            f"the tokenizer tells {kinds} texts of an example apart and the model {tables.types}: "
            "use the tokenizer that the model was trained with"
        )


def _asked(texts: Texts, part: slice) -> list[Any]:
    first = list(texts.first[part])
    return first if texts.second is None else list(zip(first, texts.second[part], strict=True))


def _too_long(texts: Texts, number: int, pieces: Pieces, most: int) -> str:
    second = None if texts.second is None else texts.second[number]
    count = len(pieces.tokenizer.encode(texts.first[number], second).ids)
    return (
        f"{texts.name(number)} has {count} pieces, and a sequence may have {most}: "
        f"--max-length {count}, if the model has as many positions, or --too-long truncate"
    )
