"""The labels against an oracle that builds models, from the words alone."""

from __future__ import annotations

from functools import cache
from itertools import product

import pytest

from stillbit.data.text_entailment import ADJECTIVES, ADVERBS, CONTRADICTED, ENTAILED, NEUTRAL, NOUNS, VERBS
from stillbit.data.text_generated import generate
from tests.data.text_examples import told_by_words

Kind = frozenset[str]
"""Words that all have to hold of a being."""
Demand = tuple[str, Kind, Kind, bool]
"""For all, or for some: whoever is of the first kind does the second, or does not."""


def understood(sentence: str) -> Demand:
    words = sentence.split()
    denies = words[0] in ("no", "not")
    every = words[0] in ("all", "no")
    words = words[2:] if words[0] == "not" else words[1:]
    at = next(i for i, word in enumerate(words) if any(word in chain for chain in NOUNS))
    who, doing = frozenset(words[: at + 1]), words[at + 1 :]
    negated = doing[:2] == ["do", "not"]
    return "all" if every else "some", who, frozenset(doing[2 * negated :]), negated == denies


@cache
def beings(words: frozenset[str]) -> tuple[frozenset[str], ...]:
    """Every kind of being that there can be, described by which of these words and of their chains hold of it."""
    nouns = next(chain for chain in NOUNS if words & set(chain))
    deeds = next(pair for pair in VERBS if words & {*pair[0], *pair[1]})
    extra = [word for word in (*ADJECTIVES, *ADVERBS) if word in words]
    found = []
    depths = product(range(4), [(d, c) for c in (0, 1) for d in range(4)], product((False, True), repeat=len(extra)))
    for noun, (deed, chain), has in depths:  # a being has the first words of a chain, and never of two that exclude
        found.append(
            frozenset({*nouns[:noun], *deeds[chain][:deed], *(w for w, h in zip(extra, has, strict=True) if h)})
        )
    return tuple(found)


def can_be(demands: list[Demand], exist: list[Kind], words: frozenset[str]) -> bool:
    """Whether a world fulfils the demands: one witness each of allowed beings is enough, and any world has them."""

    def fulfils(being: frozenset[str], demand: Demand) -> bool:
        return not demand[1] <= being or (demand[2] <= being) == demand[3]

    allowed = [b for b in beings(words) if all(fulfils(b, d) for d in demands if d[0] == "all")]
    wanted = [lambda b, d=d: d[1] <= b and fulfils(b, d) for d in demands if d[0] == "some"]
    wanted += [lambda b, kind=kind: kind <= b for kind in exist]
    return all(any(test(b) for b in allowed) for test in wanted)


def opposite(demand: Demand) -> Demand:
    return "some" if demand[0] == "all" else "all", demand[1], demand[2], not demand[3]


def oracle(premise: str, hypothesis: str) -> int:
    one, other = understood(premise), understood(hypothesis)
    words = one[1] | one[2] | other[1] | other[2]
    exist = [one[1], other[1]]
    assert can_be([one], exist, words)
    if not can_be([one, opposite(other)], exist, words):
        return ENTAILED
    return NEUTRAL if can_be([one, other], exist, words) else CONTRADICTED


@pytest.mark.parametrize(
    ("premise", "hypothesis", "expected"),
    [
        ("all dogs run", "some poodles move", ENTAILED),
        ("all poodles run", "some dogs run", ENTAILED),
        ("some dogs sprint outside", "some animals run", ENTAILED),
        ("no dogs move", "all old poodles do not sprint", ENTAILED),
        ("all dogs sleep", "no poodles run", ENTAILED),
        ("not all dogs move", "some animals do not run", ENTAILED),
        ("all dogs run", "not all poodles move", CONTRADICTED),
        ("all dogs run", "some dogs sleep", CONTRADICTED),
        ("all poodles run", "all dogs run", NEUTRAL),
        ("some dogs move", "some dogs run", NEUTRAL),
        ("all old dogs run", "some poodles run", NEUTRAL),
        ("some dogs run", "some dogs sleep", NEUTRAL),
    ],
)
def test_the_oracle_knows_what_people_know(premise: str, hypothesis: str, expected: int) -> None:
    assert oracle(premise, hypothesis) == expected


@pytest.mark.parametrize("seed", [0, 1])
def test_every_label_is_what_models_say(seed: int) -> None:
    texts = generate("entailment", "train", 420, seed)
    assert texts.second is not None
    found = [oracle(*pair) for pair in zip(texts.first, texts.second, strict=True)]
    assert found == texts.targets.tolist()


def test_words_stand_in_one_chain_only() -> None:
    words = [*ADJECTIVES, *ADVERBS, *(w for chain in NOUNS for w in chain), *(w for p in VERBS for c in p for w in c)]
    assert len(set(words)) == len(words)


def test_counting_words_hardly_helps() -> None:
    texts = generate("entailment", "train", 4200)
    assert told_by_words(texts) < 0.38  # chance is 0.333
    assert told_by_words(texts, apart=True) < 0.54


def test_the_words_of_a_group_fit_two_labels() -> None:
    texts = generate("entailment", "train", 300)
    assert texts.second is not None
    bags = [sorted(f"{a} {b}".split()) for a, b in zip(texts.first, texts.second, strict=True)]
    for begin in range(0, 300, 3):
        assert bags[begin] == bags[begin + 1] == bags[begin + 2]
        assert sorted(texts.targets[begin : begin + 3].tolist()) in ([0, 0, 1], [1, 2, 2])
