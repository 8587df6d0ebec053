"""What tests of texts share: a few sentences, and a bound on what counting words can tell."""

from __future__ import annotations

from stillbit.data.text_source import Row, Texts, gather
from stillbit.data.text_tasks import find_task

LINES = ("the dog runs", "a cat sleeps on the mat", "no", "birds fly over the grey sea today", "it rains")


def pairs(count: int) -> Texts:
    """``count`` pairs of different lengths, of two classes that take turns."""
    rows = (Row(i, (LINES[i % 5], f"{LINES[(i + i // 5) % 5]} {i}"), i % 2) for i in range(count))
    return gather(find_task("rte"), rows, origin="made up")


def single(count: int) -> Texts:
    """``count`` sentences."""
    return gather(find_task("sst2"), (Row(i, (LINES[i % 5],), i % 2) for i in range(count)), origin="made up")


def told_by_words(texts: Texts, *, apart: bool = False) -> float:
    """The share of held-out examples, a third of all, that a logistic regression on counts of words gets right.

    ``apart`` counts the words of each sentence of a pair on their own.
    """
    from scipy.sparse import csr_array, hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    sides = [texts.first] if texts.second is None else [texts.first, texts.second]
    counter = CountVectorizer(token_pattern=r"\S+").fit([text for side in sides for text in side])
    found = [csr_array(counter.transform(side), dtype=float) for side in sides]
    counts = csr_array(hstack(found)) if apart else sum(found[1:], found[0])
    known = len(texts) * 2 // 3
    model = LogisticRegression(max_iter=200).fit(counts[:known], texts.targets[:known])
    return float(model.score(counts[known:], texts.targets[known:]))
