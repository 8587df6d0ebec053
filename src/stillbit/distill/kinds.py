"""How much of a teacher's answer is kept. The names are FKD's (arXiv 2112.01528). Imports no numbers package."""

from __future__ import annotations

from typing import Literal, get_args

Kind = Literal["full", "hard", "smoothing", "marginal_smoothing", "marginal_renorm"]
"""What a label keeps of the probabilities p of C classes, and what it says about the rest:

* ``full``: all of p;
* ``hard``: the likeliest class, with probability 1;
* ``smoothing``: the likeliest class with its p; the others share what is missing to 1;
* ``marginal_smoothing``: the k likeliest with their p; the others share what is missing to 1;
* ``marginal_renorm``: the k likeliest with their p, scaled so that they sum to 1; the others have 0.
"""

KINDS: tuple[Kind, ...] = get_args(Kind)
MOST = 100
"""The most classes that a label of the marginal kinds keeps."""


def kept(kind: Kind, top_k: int, classes: int) -> int:
    """How many classes a label of this kind lists."""
    if kind == "full":
        return classes
    return 1 if kind in ("hard", "smoothing") else min(top_k, classes)


def shares_rest(kind: Kind) -> bool:
    """Whether the classes that are not listed share what is missing to 1."""
    return kind in ("smoothing", "marginal_smoothing")
