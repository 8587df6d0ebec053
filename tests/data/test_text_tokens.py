from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillbit.data import text_tokens
from stillbit.data.text_source import Row, gather
from stillbit.data.text_tables import Tables
from stillbit.data.text_tasks import find_task
from stillbit.data.text_tokens import Tokens, tokenise
from stillbit.data.wordpiece import train_pieces
from tests.data.text_examples import LINES, pairs, single

PIECES = train_pieces([*LINES, "0123456789"], 200)
TABLES = Tables(pieces=300, positions=512, types=2, outputs=2, pad=0)


def sequence(tokens: Tokens, index: int) -> list[int]:
    return tokens.ids[tokens.starts[index] : tokens.starts[index + 1]].tolist()


def test_sequences_are_what_the_tokenizer_says_of_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tokens, "_AT_ONCE", 7)
    for texts in (pairs(30), single(30)):
        tokens = tokenise(texts, PIECES, TABLES)
        assert len(tokens) == 30 and tokens.truncated == 0 and tokens.types is not None
        for i in range(30):
            alone = PIECES.tokenizer.encode(texts.first[i], None if texts.second is None else texts.second[i])
            assert sequence(tokens, i) == alone.ids
            assert tokens.types[tokens.starts[i] : tokens.starts[i + 1]].tolist() == alone.type_ids
        assert tokens.targets.tolist() == texts.targets.tolist()
        assert tokens.lengths.tolist() == [len(sequence(tokens, i)) for i in range(30)]


def test_a_model_that_knows_no_types_gets_none() -> None:
    assert tokenise(pairs(3), PIECES, Tables(pieces=300, positions=9, types=0, outputs=2)).types is None


@given(st.integers(1, 12), st.integers(1, 12), st.integers(8, 20))
def test_of_a_pair_that_is_too_long_the_longer_text_loses_its_end_first(one: int, other: int, most: int) -> None:
    texts = gather(find_task("rte"), [Row(1, ("no " * one, "it " * other), 0)], origin="x")
    tokens = tokenise(texts, PIECES, TABLES, most)
    no, it = (PIECES.tokenizer.token_to_id(word) for word in ("no", "it"))
    kept = sequence(tokens, 0)
    left, room = [one, other], most - 3
    while sum(left) > room:  # word by word, as the rule says
        left[left.index(max(left))] -= 1
    assert len(kept) == sum(left) + 3 and tokens.truncated == (one + other > room)
    found = [kept.count(no), kept.count(it)]
    tie = sum(left) < one + other and abs(left[0] - left[1]) == 1  # of two that were equal, either may be the shorter
    assert sorted(found) == sorted(left) if tie else found == left


def test_what_was_cut_is_counted_and_nothing_else_is() -> None:
    texts = single(5)
    lengths = tokenise(texts, PIECES, TABLES).lengths
    tokens = tokenise(texts, PIECES, TABLES, 8)
    assert tokens.truncated == int((lengths > 8).sum()) > 0
    assert tokens.lengths.tolist() == np.minimum(lengths, 8).tolist()
    assert tokens.describe() == {"longest": 8, "mean": float(tokens.lengths.mean()), "truncated": tokens.truncated}


def test_what_is_too_long_ends_it_where_that_is_wished() -> None:
    count = len(PIECES.tokenizer.encode(LINES[3]).ids)
    with pytest.raises(ValueError) as caught:
        tokenise(single(5), PIECES, TABLES, 8, too_long="fatal")
    assert str(caught.value) == (
        f"made up, line 3 has {count} pieces, and a sequence may have 8: "
        f"--max-length {count}, if the model has as many positions, or --too-long truncate"
    )


def test_sequences_never_go_beyond_the_positions_of_the_model() -> None:
    small = Tables(pieces=300, positions=9, types=2, outputs=2)
    assert tokenise(pairs(10), PIECES, small).lengths.max() == 9
    with pytest.raises(ValueError, match="the model has 9 positions, too few for sequences of 10"):
        tokenise(pairs(10), PIECES, small, 10)


def test_a_tokenizer_that_tells_more_texts_apart_than_the_model_is_refused() -> None:
    with pytest.raises(ValueError, match="the tokenizer tells 2 texts of an example apart and the model 1: use the"):
        tokenise(pairs(3), PIECES, Tables(pieces=300, positions=64, types=1, outputs=2))


def test_the_tokenizer_itself_is_left_as_it_was() -> None:
    before = PIECES.tokenizer.to_str()
    tokenise(pairs(3), PIECES, TABLES, 8)
    assert PIECES.tokenizer.to_str() == before
