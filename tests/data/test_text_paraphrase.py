"""The labels against a reader that turns sentences back into what they mean."""

from __future__ import annotations

import re

import pytest

from stillbit.data.text_generated import generate
from stillbit.data.text_paraphrase import ADJECTIVES, NOUNS, PLACES, TIMES, VERBS
from tests.data.text_examples import told_by_words

WORDS = {word: words[0] for table in (NOUNS, VERBS, ADJECTIVES, PLACES, TIMES) for words in table for word in words}


def any_of(table: tuple[tuple[str, ...], ...]) -> str:
    return "|".join(sorted((word for words in table for word in words), key=len, reverse=True))


NAMED = rf"the (?:({any_of(ADJECTIVES)}) )?({any_of(NOUNS)})"
CORE = re.compile(rf"{NAMED} (was )?({any_of(VERBS)}) (by )?{NAMED}")
ASIDE = re.compile(rf"({any_of(PLACES)}|{any_of(TIMES)})")


def meant(sentence: str) -> tuple[object, ...]:
    """Who, did what, to whom, and the rest in any order; every word as the first of its synonyms."""
    found = CORE.search(sentence)
    assert found is not None
    is_one, one, was, verb, by, is_other, other = found.groups()
    assert (was is None) == (by is None)
    sides = (WORDS.get(is_one), WORDS[one]), (WORDS.get(is_other), WORDS[other])
    rest = sentence[: found.start()] + sentence[found.end() :]
    aside = frozenset(WORDS[said] for said in ASIDE.findall(rest))
    assert not ASIDE.sub("", rest).strip()
    return (sides[::-1] if was else sides), WORDS[verb], aside


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("the doctor helped the boy", "the lad was assisted by the physician", True),
        ("the doctor helped the boy", "the boy helped the doctor", False),
        ("the rich doctor helped the boy", "the doctor helped the rich boy", False),
        ("twice the doctor helped the boy on the road", "on the street the doctor assisted the boy two times", True),
    ],
)
def test_the_reader_knows_what_people_know(one: str, other: str, same: bool) -> None:
    assert (meant(one) == meant(other)) == same


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_label_is_what_the_reader_says(split: str) -> None:
    texts = generate("paraphrase", split, 2000)
    assert texts.second is not None
    found = [int(meant(a) == meant(b)) for a, b in zip(texts.first, texts.second, strict=True)]
    assert found == texts.targets.tolist()


def test_no_word_has_two_meanings() -> None:
    tables = (NOUNS, VERBS, ADJECTIVES, PLACES, TIMES)
    assert len(WORDS) == sum(len(words) for table in tables for words in table)


def test_counting_words_does_not_help_at_all() -> None:
    texts = generate("paraphrase", "train", 4000)
    assert told_by_words(texts) < 0.53  # chance is 0.5
    assert told_by_words(texts, apart=True) < 0.53


def test_much_of_what_is_no_paraphrase_has_the_words_of_one() -> None:
    texts = generate("paraphrase", "train", 2000)
    assert texts.second is not None
    bags = [(a, sorted(b.split()), t) for a, b, t in zip(texts.first, texts.second, texts.targets, strict=True)]
    right = {(a, *bag) for a, bag, target in bags if target}
    share = sum((a, *bag) in right for a, bag, target in bags if not target) / 1000
    assert 0.3 < share < 0.7


def test_both_voices_and_every_word_occur() -> None:
    texts = generate("paraphrase", "train", 2000)
    said = " ".join(texts.first)
    assert 0.4 < sum(" was " in text for text in texts.first) / 2000 < 0.6
    assert all(word in said for word in WORDS)
