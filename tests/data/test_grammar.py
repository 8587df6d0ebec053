from __future__ import annotations

import numpy as np
import pytest

from stillbit.data.chance import hashes
from stillbit.data.grammar import Draw, Example, Group, grow, held_out


def numbers(draw: Draw) -> Group:
    number = draw.below(1000)
    return Group((number,), (Example((f"{number} a",), 0), Example((f"{number} b",), 1)))


def few(draw: Draw) -> Group | None:
    number = draw.below(8)
    return Group((number,), (Example((str(number),), 0),)) if number < 4 else None


def test_choices_are_a_function_of_the_words_they_are_made_of() -> None:
    words = hashes(8, 1, 2)
    one, other = Draw(words), Draw(words)
    assert [one.below(10), one.one("abc"), one.some("abcd", 4)] == [
        other.below(10),
        other.one("abc"),
        other.some("abcd", 4),
    ]


def test_some_are_different_ones_and_every_order_comes() -> None:
    orders = {"".join(Draw(words).some("abc", 3)) for words in hashes(8, 1, np.arange(200))}
    assert orders == {"abc", "acb", "bac", "bca", "cab", "cba"}


def test_a_quarter_of_all_themes_is_held_out() -> None:
    assert 0.22 < sum(held_out((a, b)) for a in range(40) for b in range(40)) / 1600 < 0.28


def test_groups_stay_on_their_side_and_come_once() -> None:
    train, val = (grow(numbers, split, 300, (0,)) for split in ("train", "val"))
    assert not {e.sentences for e in train} & {e.sentences for e in val}
    assert len({e.sentences for e in train}) == len(train) == 300
    assert all(held_out((int(e.sentences[0].split()[0]),)) for e in val)


def test_a_grammar_that_has_no_more_says_how_many_it_has() -> None:
    kept = sum(not held_out((number,)) for number in range(4))
    assert len(grow(few, "train", kept, (0,))) == kept
    with pytest.raises(ValueError, match=f"not many more than {kept} different examples"):
        grow(few, "train", 5, (0,))
