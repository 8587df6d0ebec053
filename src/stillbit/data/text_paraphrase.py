"""Paraphrase: do two sentences say the same?

A sentence says who did what to whom, where and when. The same can be said with other words of a table of synonyms, in
the active or the passive, with the time and the place in front or at the end.

Two kinds of groups. *Roles*: a sentence with a paraphrase, and with the same paraphrase in which two words changed
places, so that it says something else with the same words. *Words*: two meanings that differ in one thing or in
several, and a way to say each; the four pairs that these make are right where both say the same.
"""

from __future__ import annotations

from typing import NamedTuple, final

from stillbit.data.grammar import Draw, Example, Group

OTHER, SAME = range(2)

NOUNS = (
    *(("doctor", "physician"), ("boy", "lad"), ("thief", "robber"), ("lawyer", "attorney"), ("teacher", "instructor")),
    *(("woman", "lady"), ("sailor", "seaman"), ("cook", "chef"), ("king", "monarch"), ("driver", "chauffeur")),
)
VERBS = (
    *(("helped", "assisted"), ("watched", "observed"), ("chased", "pursued"), ("deceived", "tricked")),
    *(("praised", "lauded"), ("rescued", "saved")),
)
ADJECTIVES = (("quick", "fast"), ("rich", "wealthy"), ("angry", "furious"), ("clever", "smart"))
PLACES = (("near the shop", "near the store"), ("in the woods", "in the forest"), ("on the road", "on the street"))
TIMES = (("twice", "two times"), ("rarely", "seldom"), ("at last", "finally"))


@final
class Meaning(NamedTuple):
    """Who did what to whom, and where and when: numbers of synonyms; None for what is not said."""

    agent: int
    agent_is: int | None
    deed: int
    patient: int
    patient_is: int | None
    place: int | None
    time: int | None


_CHANGED = {
    "agent": NOUNS,
    "agent_is": ADJECTIVES,
    "deed": VERBS,
    "patient_is": ADJECTIVES,
    "place": PLACES,
    "time": TIMES,
}


@final
class Manner(NamedTuple):
    """How it is said: which synonym of each, and in which order."""

    passive: bool
    place_first: bool
    time_first: bool
    words: tuple[int, ...]


def say(meaning: Meaning, manner: Manner) -> str:
    """A sentence. What stands in front is never two things: the time goes there if both are wished."""
    one, is_one, deed, other, is_other, place, time = manner.words
    agent = _named(meaning.agent, one, meaning.agent_is, is_one)
    patient = _named(meaning.patient, other, meaning.patient_is, is_other)
    verb = VERBS[meaning.deed][deed]
    core = f"{patient} was {verb} by {agent}" if manner.passive else f"{agent} {verb} {patient}"
    where = [] if meaning.place is None else [PLACES[meaning.place][place]]
    when = [] if meaning.time is None else [TIMES[meaning.time][time]]
    front = when if manner.time_first and when else where if manner.place_first else []
    end = [said for said in (*where, *when) if said not in front]
    return " ".join([*front, core, *end])


def make(draw: Draw) -> Group | None:
    """Two pairs or four, half of them paraphrases; None if both sentences of a paraphrase came out the same."""
    agent, patient = draw.some(range(len(NOUNS)), 2)
    meaning = Meaning(
        agent,
        _maybe(draw, ADJECTIVES),
        draw.below(len(VERBS)),
        patient,
        _maybe(draw, ADJECTIVES),
        _maybe(draw, PLACES),
        _maybe(draw, TIMES),
    )
    manners = _manner(draw), _manner(draw)
    examples = _roles(meaning, manners, draw) if draw.below(2) else _words(meaning, manners, draw)
    if any(len(set(example.sentences)) == 1 for example in examples):
        return None
    return Group((min(agent, patient), max(agent, patient)), examples)


def _roles(meaning: Meaning, manners: tuple[Manner, Manner], draw: Draw) -> tuple[Example, ...]:
    """Agent and patient, or only what they are called or how they are described, change places."""
    first, second = manners
    swaps = [("agent", "patient"), ("agent_is", "patient_is")]
    differ = meaning.agent_is != meaning.patient_is
    chosen = draw.one(([swaps[0]], [swaps[1]], swaps) if differ else ([swaps[0]],))
    values, words = meaning._asdict(), list(second.words)
    for one, other in chosen:
        values[one], values[other] = values[other], values[one]
        i, j = Meaning._fields.index(one), Meaning._fields.index(other)
        words[i], words[j] = words[j], words[i]
    said = say(meaning, first)
    wrong = say(Meaning(**values), second._replace(words=tuple(words)))
    return Example((said, say(meaning, second)), SAME), Example((said, wrong), OTHER)


def _words(meaning: Meaning, manners: tuple[Manner, Manner], draw: Draw) -> tuple[Example, ...]:
    """Some things become others; the two nouns, which are the theme, stay, but may change roles."""
    other = meaning
    said = [name for name in _CHANGED if name == "agent" or getattr(meaning, name) is not None]
    for name in draw.some(said, 1 + draw.below(len(said))):
        if name == "agent":
            other = other._replace(agent=meaning.patient, patient=meaning.agent)
        else:
            now = getattr(meaning, name)
            other = other._replace(**{name: draw.one([i for i in range(len(_CHANGED[name])) if i != now])})
    return tuple(
        Example((say(a, manners[0]), say(b, manners[1])), SAME if a is b else OTHER)
        for a in (meaning, other)
        for b in (meaning, other)
    )


def _named(noun: int, word: int, adjective: int | None, which: int) -> str:
    described = [] if adjective is None else [ADJECTIVES[adjective][which]]
    return " ".join(["the", *described, NOUNS[noun][word]])


def _maybe(draw: Draw, table: tuple[tuple[str, ...], ...]) -> int | None:
    return draw.below(len(table)) if draw.below(2) else None


def _manner(draw: Draw) -> Manner:
    first, second, third, *words = (draw.below(2) for _ in range(10))
    return Manner(first == 1, second == 1, third == 1, tuple(words))
