"""Acceptability: is the sentence one of a context-free language?

    S  -> NP[n] V[n] | NP[n] VT[n] NP
    NP -> D (A) N[n] | D (A) N[n] P NP | D (A) N[n] that NP[m] VT[m] | both NP and NP (plural)

Each verb agrees in number with its own subject, over whatever stands between them. Every sentence of the language has
one tree only, so the word that a verb has to agree with is a matter of structure alone.

Three kinds of groups. *Number*: one noun and the verb it is the subject of, each singular and plural, so four
sentences, of which the two that disagree are wrong. *Exchange*: two nouns, or two verbs, of different number change
places. *Order*: two neighbours do. What is wrong is one word, or two that changed places, away from what is right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, final

from stillbit.data.grammar import Draw, Example, Group

WRONG, RIGHT = range(2)

DETERMINERS = ("the", "my", "your")
ADJECTIVES = ("old", "young", "small", "shy")
PREPOSITIONS = ("near", "behind", "with")
NOUNS = ("dog", "cat", "bird", "horse", "farmer", "doctor", "sailor", "singer", "driver", "painter", "teacher", "king")
VERBS = ("sleep", "run", "smile", "swim", "sing", "wait")
TRANSITIVE = ("see", "like", "follow", "hear", "help", "know")
_LEMMAS = (*NOUNS, *VERBS, *TRANSITIVE)
_DEPTH = 2
"""How deep noun phrases may lie in each other."""


@final
@dataclass(frozen=True)
class Word:
    """A word of a sentence; a noun and its verb know where the other one is."""

    text: str
    kind: Literal["noun", "verb", "determiner", "other"] = "other"
    plural: bool = False
    subject: int | None = None
    """Of a verb: where its subject is, unless that is two, joined by ``both``."""

    def __str__(self) -> str:
        if self.kind == "other" or self.kind == "determiner":
            return self.text
        return self.text + "s" * (self.plural == (self.kind == "noun"))

    def turned(self) -> Word:
        """Of the other number."""
        return replace(self, plural=not self.plural)


def make(draw: Draw) -> Group | None:
    """Two or four sentences, half of them wrong; None if the sentence drawn has no place for the change."""
    words = _sentence(draw)
    match draw.below(6):
        case 0 | 1 | 2:
            found = _number(words, draw)
        case 3 | 4:
            found = _exchange(words, draw)
        case _:
            found = _order(words, draw)
    if found is None:
        return None
    lemmas = sorted(_LEMMAS.index(word.text) for word in words if word.kind in ("noun", "verb"))
    return Group(tuple(lemmas), tuple(Example((" ".join(map(str, said)),), label) for said, label in found))


_Judged = list[tuple[list[Word], int]]


def _number(words: list[Word], draw: Draw) -> _Judged | None:
    verbs = [place for place, word in enumerate(words) if word.kind == "verb" and word.subject is not None]
    if not verbs:
        return None
    verb = draw.one(verbs)
    noun = words[verb].subject
    assert noun is not None
    turns: tuple[tuple[set[int], int], ...] = ((set(), RIGHT), ({verb}, WRONG), ({noun, verb}, RIGHT), ({noun}, WRONG))
    return [([w.turned() if i in turned else w for i, w in enumerate(words)], label) for turned, label in turns]


def _exchange(words: list[Word], draw: Draw) -> _Judged | None:
    """A noun changes places with one of the other number, and at least one of the two is a subject; or a verb does."""
    subjects = {word.subject for word in words if word.kind == "verb"}
    pairs = [
        (i, j)
        for j, second in enumerate(words)
        for i, first in enumerate(words[:j])
        if first.kind == second.kind and first.plural != second.plural
        if (first.kind == "noun" and {i, j} & subjects)
        or (first.kind == "verb" and (first.text in VERBS) == (second.text in VERBS))
    ]
    if not pairs:
        return None
    return [(words, RIGHT), (_swapped(words, *draw.one(pairs)), WRONG)]


def _order(words: list[Word], draw: Draw) -> _Judged:
    """A determiner and what follows it: no phrase begins otherwise."""
    place = draw.one([i for i, word in enumerate(words) if word.kind == "determiner"])
    return [(words, RIGHT), (_swapped(words, place, place + 1), WRONG)]


def _swapped(words: list[Word], first: int, second: int) -> list[Word]:
    changed = list(words)
    changed[first], changed[second] = words[second], words[first]
    return changed


def _sentence(draw: Draw) -> list[Word]:
    words: list[Word] = []
    _clause(words, draw, _DEPTH, draw.below(2) == 1)
    if words[-1].text in TRANSITIVE:
        _phrase(words, draw, _DEPTH - 1)
    return words


def _clause(words: list[Word], draw: Draw, depth: int, transitive: bool) -> None:
    """A subject and its verb."""
    subject = _phrase(words, draw, depth)
    plural = True if subject is None else words[subject].plural
    words.append(Word(draw.one(TRANSITIVE if transitive else VERBS), "verb", plural, subject))


def _phrase(words: list[Word], draw: Draw, depth: int) -> int | None:
    """Adds a noun phrase; where its noun is, or None for two of them."""
    form = draw.below(8) if depth else 0
    if form == 7:
        words.append(Word("both"))
        _phrase(words, draw, depth - 1)
        words.append(Word("and"))
        _phrase(words, draw, depth - 1)
        return None
    words.append(Word(draw.one(DETERMINERS), "determiner"))
    if draw.below(4) == 0:
        words.append(Word(draw.one(ADJECTIVES)))
    noun = len(words)
    words.append(Word(draw.one(NOUNS), "noun", draw.below(2) == 1))
    if form in (3, 4):
        words.append(Word(draw.one(PREPOSITIONS)))
        _phrase(words, draw, depth - 1)
    elif form in (5, 6):
        words.append(Word("that"))
        _clause(words, draw, depth - 1, True)
    return noun
