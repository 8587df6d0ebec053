"""From texts to the inputs of a deployed model: cut into pieces, numbered, and filled up to one length."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stillbit.data.wordpiece import Pieces, read_pieces
from stillbit.deploy.about import Reading
from stillbit.deploy.program import Array

LONGEST = 3_000_000
"""Characters of a tokenizer that a file holds; a larger one lies beside it."""


def reading_of(pieces: Pieces, length: int, inputs: Sequence[str], *, task: str = "", pairs: bool = False) -> Reading:
    """What a file says of texts: its tokenizer too, if that is not too large; then it has to lie beside the file."""
    said = json.dumps(json.loads(pieces.tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    return Reading(
        length=length,
        inputs=tuple(inputs),
        pad=pieces.pad,
        task=task,
        pairs=pairs,
        tokenizer=said if len(said) <= LONGEST else "",
    )


def pieces_of(reading: Reading, beside: Path) -> Pieces:
    """The tokenizer of a file; ``beside`` is the folder where it lies, or one that has its tokenizer.json."""
    if not reading.tokenizer:
        try:
            return read_pieces(beside)
        except ValueError as problem:
            raise ValueError(f"the file has no tokenizer in it, and there is none beside it: {problem}") from None
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ValueError("texts become numbers with Hugging Face's tokenizers: pip install tokenizers") from None
    try:
        return Pieces(Tokenizer.from_str(reading.tokenizer))
    except Exception as problem:  # the package raises plain ones
        said = " ".join(str(problem).split())
        raise ValueError(f"the tokenizer in the file is damaged ({said}): export it again") from None


def lengths_of(pieces: Pieces, first: Sequence[str], second: Sequence[str] | None = None) -> Array:
    """How many pieces texts, or pairs of them, have before anything is cut off or filled up."""
    asked = list(first) if second is None else list(zip(first, second, strict=True))
    return np.array([len(one.ids) for one in pieces.tokenizer.encode_batch_fast(asked)], np.int64)


def inputs_of(
    reading: Reading, pieces: Pieces, first: Sequence[str], second: Sequence[str] | None = None
) -> tuple[Array, ...]:
    """The arrays that an engine is called with; of what is too long the end is lost, of a pair the longer text's."""
    if not first:
        raise ValueError("there is no text: give one at least")
    if (second is not None) != reading.pairs:
        wanted = "pairs of texts" if reading.pairs else "single texts"
        raise ValueError(f"this model was trained on {wanted}: give {'two' if reading.pairs else 'one'} of each")
    if second is not None and len(first) != len(second):
        raise ValueError(f"there are {len(first)} first texts and {len(second)} second ones: give pairs")
    for number, text in enumerate([*first, *(second or ())]):
        if not text.strip():
            raise ValueError(f"text {number % len(first) + 1} is empty: there is nothing to read")
    tokenizer = type(pieces.tokenizer).from_str(pieces.tokenizer.to_str())
    tokenizer.enable_truncation(reading.length, strategy="longest_first")
    tokenizer.enable_padding(length=reading.length, pad_id=reading.pad)
    asked = list(first) if second is None else list(zip(first, second, strict=True))
    found = tokenizer.encode_batch(asked)
    made = {
        "input_ids": [one.ids for one in found],
        "attention_mask": [one.attention_mask for one in found],
        "token_type_ids": [one.type_ids for one in found],
    }
    unknown = [name for name in reading.inputs if name not in made]
    if unknown:
        raise ValueError(f"nobody knows how to make {unknown[0]} of a text: call the engine with arrays of your own")
    return tuple(np.array(made[name], np.int64) for name in reading.inputs)
