"""The labels against a parser that knows the grammar, not how sentences were made."""

from __future__ import annotations

from functools import cache

import pytest

from stillbit.data.text_acceptability import ADJECTIVES, DETERMINERS, NOUNS, PREPOSITIONS, TRANSITIVE, VERBS
from stillbit.data.text_generated import generate
from tests.data.text_examples import told_by_words

LEXICON: dict[str, set[str]] = {}
for words, kind in ((DETERMINERS, "D"), (ADJECTIVES, "A"), (PREPOSITIONS, "P")):
    LEXICON |= {word: {kind} for word in words}
LEXICON |= {word: {word} for word in ("that", "both", "and")}
LEXICON |= {word: {"N1"} for word in NOUNS} | {f"{word}s": {"N2"} for word in NOUNS}
for verbs, kind in ((VERBS, "V"), (TRANSITIVE, "T")):
    LEXICON |= {f"{word}s": {f"{kind}1"} for word in verbs} | {word: {f"{kind}2"} for word in verbs}

RULES = {("A", f"N{n}"): {f"M{n}"} for n in "12"}  # Chomsky's normal form of the grammar in the docstring
for n in "12":
    RULES |= {("D", f"M{n}"): {f"B{n}"}, ("D", f"N{n}"): {f"B{n}"}}
    RULES |= {(f"B{n}", "PP"): {f"X{n}"}, (f"B{n}", "RC"): {f"X{n}"}}
    for phrase in (f"B{n}", f"X{n}", *(["Y2"] if n == "2" else [])):
        RULES |= {(phrase, f"V{n}"): {"S"}, (phrase, f"T{n}"): {"C"}, ("P", phrase): {"PP"}}
        RULES |= {("C", phrase): {"S"}, ("both", phrase): {"E"}, ("and", phrase): {"F"}}
RULES |= {("that", "C"): {"RC"}, ("E", "F"): {"Y2"}}


def trees(sentence: str) -> int:
    """How many derivations, by Cocke, Younger and Kasami."""
    words = sentence.split()

    @cache
    def count(symbol: str, begin: int, end: int) -> int:
        if end - begin == 1:
            return int(symbol in LEXICON[words[begin]])
        found = 0
        for (left, right), made in RULES.items():
            if symbol in made:
                for middle in range(begin + 1, end):
                    if one := count(left, begin, middle):
                        found += one * count(right, middle, end)
        return found

    return count("S", 0, len(words))


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("the dog runs", True),
        ("the dogs near my old cat run", True),
        ("the dogs near my cat runs", False),
        ("the dog that the cats see sees both the cat and the bird", True),
        ("the dog that the cats sees sees the cat", False),
        ("both the dog and the cat run", True),
        ("both the dog and the cat runs", False),
        ("the dog sees", False),
        ("the dog runs the cat", False),
        ("dog the runs", False),
    ],
)
def test_the_parser_knows_what_people_know(sentence: str, right: bool) -> None:
    assert (trees(sentence) > 0) == right


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_label_is_what_the_parser_says_and_no_sentence_has_two_trees(split: str) -> None:
    texts = generate("acceptability", split, 300)
    assert [trees(text) for text in texts.first] == texts.targets.tolist()


def test_sentences_are_short_and_long_and_agreement_goes_far() -> None:
    lengths = [len(text.split()) for text in generate("acceptability", "train", 2000).first]
    assert min(lengths) == 3 and max(lengths) > 20
    assert sum("that" in text for text in generate("acceptability", "train", 2000).first) > 600


def test_what_is_wrong_is_one_word_or_two_that_changed_places() -> None:
    texts = generate("acceptability", "train", 300)
    right = [text.split() for text, good in zip(texts.first, texts.targets, strict=True) if good]
    for text, good in zip(texts.first, texts.targets, strict=True):
        words = text.split()
        same_length = [other for other in right if len(other) == len(words)]
        changed = [[(a, b) for a, b in zip(words, other, strict=True) if a != b] for other in same_length]
        assert good or any(len(c) == 1 or (len(c) == 2 and c[0] == c[1][::-1]) for c in changed)


def test_counting_words_does_not_help_at_all() -> None:
    assert told_by_words(generate("acceptability", "train", 4000)) < 0.53  # chance is 0.5
