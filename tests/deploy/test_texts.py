"""From texts to the arrays of a deployed model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stillbit.data.wordpiece import train_pieces, write_pieces
from stillbit.deploy import texts as module
from stillbit.deploy.about import About, Reading
from stillbit.deploy.texts import inputs_of, lengths_of, pieces_of, reading_of

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
PIECES = train_pieces(["the cat sat on the mat", "a dog ran after the cat"], size=80)


def reading(**changes: object) -> Reading:
    return replace(reading_of(PIECES, 8, INPUTS, task="mine"), **changes)  # type: ignore[arg-type]


def test_a_text_is_cut_numbered_and_filled_up(tmp_path: Path) -> None:
    said = reading()
    assert (said.length, said.pad, said.task, said.pairs) == (8, PIECES.pad, "mine", False)
    pieces = pieces_of(said, tmp_path)
    ids, mask, types = inputs_of(said, pieces, ["the cat", "the cat sat on the mat after a dog ran"])
    assert ids.shape == mask.shape == types.shape == (2, 8) and ids.dtype == np.int64
    whole = PIECES.tokenizer.encode("the cat").ids
    assert ids[0, : len(whole)].tolist() == whole and mask[0].sum() == len(whole)
    assert (ids[0, len(whole) :] == PIECES.pad).all() and mask[1].all() and not types.any()


def test_of_a_pair_the_second_is_of_type_one(tmp_path: Path) -> None:
    said = reading(pairs=True, inputs=("token_type_ids", "input_ids"))
    types, ids = inputs_of(said, pieces_of(said, tmp_path), ["the cat"], ["a dog"])
    assert set(types[0].tolist()) == {0, 1} and ids.shape == (1, 8)


def test_it_survives_json_with_its_tokenizer(tmp_path: Path) -> None:
    about = About(model="bert", text=reading())
    back = About.of_json(json.loads(json.dumps(about.to_json())))
    assert back == about and back.text is not None
    assert pieces_of(back.text, tmp_path).fingerprint == PIECES.fingerprint


def test_a_large_tokenizer_lies_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST", 10)
    said = reading_of(PIECES, 8, INPUTS)
    assert said.tokenizer == ""
    with pytest.raises(ValueError, match="has no tokenizer in it, and there is none beside it"):
        pieces_of(said, tmp_path)
    write_pieces(PIECES, tmp_path, 8)
    assert pieces_of(said, tmp_path).pad == PIECES.pad


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ([], None, "there is no text"),
        (["a", " \n"], None, "text 2 is empty"),
        (["a"], ["b"], "was trained on single texts: give one of each"),
    ],
)
def test_what_cannot_be_read_is_said(first: list[str], second: list[str] | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        inputs_of(reading(), PIECES, first, second)


def test_pairs_are_asked_for_and_inputs_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match="was trained on pairs of texts: give two of each"):
        inputs_of(reading(pairs=True), PIECES, ["a"])
    with pytest.raises(ValueError, match="there are 2 first texts and 1 second ones"):
        inputs_of(reading(pairs=True), PIECES, ["a", "b"], ["c"])
    with pytest.raises(ValueError, match="nobody knows how to make pixel_values of a text"):
        inputs_of(reading(inputs=("input_ids", "pixel_values")), PIECES, ["a"])


def test_a_damaged_tokenizer_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the tokenizer in the file is damaged .*: export it again"):
        pieces_of(reading(tokenizer="{}"), tmp_path)


def test_lengths_are_those_before_anything_is_cut() -> None:
    assert lengths_of(PIECES, ["the cat", "the cat the cat the cat the cat the cat"]).tolist() == [4, 12]
    assert lengths_of(PIECES, ["the cat"], ["the"]).tolist() == [6]
