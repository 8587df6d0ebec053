"""Entailment: does the premise make the hypothesis true, false, or neither?

Sentences say of all, some, no or not all of some kind of beings that they do something, or do not. Kinds contain each
other (poodles are dogs, dogs are animals), deeds too (to sprint is to run), and an adjective or an adverb narrows them.
Deeds of two opposite chains exclude each other: who rests does not move. Nothing else is known of kinds and deeds. A
being of each kind that a pair names exists, so "all" implies "some".

A group is six pairs. Three are made of the same words, shared out in another way: two follow or contradict, and one
does neither. The other three have a deed of the opposite chain in the place of one deed. That turns what follows into
what contradicts and back, so which words are there tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple, TypeVar, final

from stillbit.data.grammar import Draw, Example, Group

T = TypeVar("T")

ENTAILED, NEUTRAL, CONTRADICTED = range(3)

NOUNS = (
    ("animals", "dogs", "poodles"),
    ("birds", "parrots", "macaws"),
    ("fish", "sharks", "hammerheads"),
    ("insects", "beetles", "ladybirds"),
    ("reptiles", "snakes", "cobras"),
    ("musicians", "pianists", "organists"),
    ("workers", "farmers", "beekeepers"),
    ("doctors", "surgeons", "neurosurgeons"),
    ("soldiers", "officers", "captains"),
    ("teachers", "lecturers", "professors"),
)
"""From the widest kind to the narrowest."""
VERBS = (
    (("move", "run", "sprint"), ("rest", "sleep", "doze")),
    (("laugh", "giggle", "titter"), ("cry", "sob", "wail")),
    (("work", "dig", "burrow"), ("play", "dance", "waltz")),
    (("speak", "shout", "bellow"), ("think", "ponder", "brood")),
)
"""Pairs of chains that exclude each other."""
ADJECTIVES = ("old", "young", "small", "brave")
ADVERBS = ("quietly", "often", "outside", "together")
_QUANTIFIERS = ("all", "some", "no", "not all")


@final
class Kind(NamedTuple):
    """A word of a chain, 0 for the widest, and what narrows it."""

    chain: int
    level: int
    by: str | None

    def within(self, other: Kind) -> bool:
        """Whether all that is of this kind is of the other."""
        return self.chain == other.chain and self.level >= other.level and other.by in (None, self.by)

    def excludes(self, other: Kind) -> bool:
        """Whether nothing can be of both kinds."""
        return self.chain != other.chain


@final
class Claim(NamedTuple):
    """What a sentence says: that all beings (or some) do (or do not)."""

    every: bool
    who: Kind
    does: bool
    what: Kind

    def opposite(self) -> Claim:
        """True where this is false."""
        return Claim(not self.every, self.who, not self.does, self.what)

    def entails(self, other: Claim) -> bool:
        """Whether the other is true wherever this is, as long as there are beings of both kinds."""
        if self.does:
            inside = self.what.within(other.what) if other.does else self.what.excludes(other.what)
        else:
            inside = not other.does and other.what.within(self.what)
        wider, narrower = other.who.within(self.who), self.who.within(other.who)
        if self.every and other.every:
            return inside and wider
        if self.every:
            return inside and (wider or narrower)
        return inside and narrower and not other.every


def label(premise: Claim, hypothesis: Claim) -> int:
    """What the premise says of the hypothesis."""
    if premise.entails(hypothesis):
        return ENTAILED
    return CONTRADICTED if premise.entails(hypothesis.opposite()) else NEUTRAL


def make(draw: Draw) -> Group | None:
    """Six pairs, two for each label; None if these words cannot be put together to all of them."""
    noun, verbs, chain = draw.below(len(NOUNS)), draw.below(len(VERBS)), draw.below(2)
    if not draw.wants((noun, verbs)):
        return None
    first, second = draw.below(3), draw.below(3)
    words = _Words(
        quantifiers=(draw.one(_QUANTIFIERS), draw.one(_QUANTIFIERS)),
        nouns=(draw.below(3), draw.below(3)),
        verbs=((chain, first), (chain, second)),
        adjectives=(draw.one((None, *ADJECTIVES[:2], *ADJECTIVES)), None),
        adverbs=(draw.one((None, *ADVERBS[:2], *ADVERBS)), None),
        negations=draw.one(((False, False), (True, False), (True, True))),
    )
    opposite = words._replace(verbs=((chain, first), (1 - chain, second)))
    chosen = [_chosen(some, noun, verbs, draw) for some in (words, opposite)]
    if not all(chosen):
        return None
    return Group((noun, verbs), tuple(example for examples in chosen for example in examples))


class _Sentence(NamedTuple):
    quantifier: str
    who: Kind
    negated: bool
    what: Kind

    def claim(self) -> Claim:
        """No one does: all do not. Not all do: some do not."""
        denied = self.quantifier in ("no", "not all")
        return Claim(self.quantifier in ("all", "no"), self.who, self.negated == denied, self.what)

    def text(self, noun: int, verbs: int) -> str:
        """In words."""
        adjective = [self.who.by] if self.who.by else []
        adverb = [self.what.by] if self.what.by else []
        doing = ["do not"] * self.negated + [VERBS[verbs][self.what.chain][self.what.level], *adverb]
        return " ".join([self.quantifier, *adjective, NOUNS[noun][self.who.level], *doing])


class _Words(NamedTuple):
    quantifiers: tuple[str, str]
    nouns: tuple[int, int]
    verbs: tuple[tuple[int, int], tuple[int, int]]
    adjectives: tuple[str | None, str | None]
    adverbs: tuple[str | None, str | None]
    negations: tuple[bool, bool]

    def arrangements(self) -> Iterator[tuple[_Sentence, _Sentence]]:
        """Every way to share these words out between two sentences."""
        both = _ways(self.quantifiers), _ways(self.nouns), _ways(self.verbs)
        for quantifiers, nouns, verbs, adjectives, adverbs, negations in product(
            *both, _ways(self.adjectives), _ways(self.adverbs), _ways(self.negations)
        ):
            yield (
                _Sentence(quantifiers[0], Kind(0, nouns[0], adjectives[0]), negations[0], Kind(*verbs[0], adverbs[0])),
                _Sentence(quantifiers[1], Kind(0, nouns[1], adjectives[1]), negations[1], Kind(*verbs[1], adverbs[1])),
            )


def _ways(pair: tuple[T, T]) -> list[tuple[T, T]]:
    """To give one of two things to each sentence."""
    return list(dict.fromkeys([pair, pair[::-1]]))


def _chosen(words: _Words, noun: int, verbs: int, draw: Draw) -> list[Example]:
    """Two pairs of these words that follow or contradict, and one that does neither; none if there are not so many.

    Whether some follow or some contradict is a matter of the words: of how many of them deny.
    """
    by_label: dict[int, list[tuple[_Sentence, _Sentence]]] = {ENTAILED: [], NEUTRAL: [], CONTRADICTED: []}
    for premise, hypothesis in words.arrangements():
        if premise != hypothesis:
            by_label[label(premise.claim(), hypothesis.claim())].append((premise, hypothesis))
    assert not (by_label[ENTAILED] and by_label[CONTRADICTED])
    told = ENTAILED if by_label[ENTAILED] else CONTRADICTED
    if len(by_label[told]) < 2 or not by_label[NEUTRAL]:
        return []
    chosen = [(pair, told) for pair in draw.some(by_label[told], 2)] + [(draw.one(by_label[NEUTRAL]), NEUTRAL)]
    return [Example((a.text(noun, verbs), b.text(noun, verbs)), number) for (a, b), number in chosen]
