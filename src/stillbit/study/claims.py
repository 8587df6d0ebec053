"""Claims: what a study was made to find out, as a sentence that a machine can judge.

* ``vvtq > lsq_plus``: top-1, at every width for which there are both;
* ``vvtq@w2a2 > lsq_plus@w2a2 > lsq@w2a2``: each beside the next;
* ``oscillation: obr-0.01 > obr-0.1``: another column; a switch that only one method has needs no method;
* ``lsq@w3a3 - lsq@w2a2 > 2 * lsq@w4a4 - 2 * lsq@w3a3``: sums of terms, with factors;
* ``vvtq = vvtq+online within 0.5``: as good as, with a margin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NamedTuple

from stillbit.study.rows import METRICS, Row


class Term(NamedTuple):
    """A factor, and the cells it is for."""

    factor: float
    title: str
    """Method, with its switch."""
    bits: str | None
    """None: those at which the claim is being judged."""
    model: str | None


Side = tuple[Term, ...]
"""A sum."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Sides, each compared with the next."""

    name: str
    text: str
    metric: str
    relation: Literal[">", "<", "="]
    sides: tuple[Side, ...]
    margin: float = 0.0
    """For equality."""

    @property
    def terms(self) -> list[Term]:
        """Of all sides."""
        return [term for side in self.sides for term in side]


def claims(said: Mapping[str, str], rows: Sequence[Row]) -> list[Claim]:
    """All claims of a file, each about cells that the study has."""
    known = _Known(rows)
    return [_claim(name, text, known) for name, text in said.items()]


class _Known:
    """What there is to make claims about."""

    def __init__(self, rows: Iterable[Row]) -> None:
        cells = [row for row in rows if row.kind == "cell"]
        self.titles = dict.fromkeys(row.title for row in cells)
        self.bits = dict.fromkeys(row.bits for row in cells)
        self.models = dict.fromkeys(row.model for row in cells)
        self.short: dict[str, set[str]] = {}
        for row in cells:
            if row.title != row.method:
                self.short.setdefault(row.switch, set()).add(row.title)

    def title(self, said: str) -> str:
        if said in self.titles:
            return said
        found = sorted(self.short.get(said, ()))
        if len(found) == 1:
            return found[0]
        if found:
            raise ValueError(f"{said} is a switch of several methods: say which, as in {found[0]}")
        near = get_close_matches(said, [*self.titles, *self.short], n=1)
        raise ValueError(f"no cell is {said!r}: " + (f"did you mean {near[0]}?" if near else _there(self.titles)))


def _claim(name: str, text: str, known: _Known) -> Claim:
    try:
        return _parsed(name, text, known)
    except ValueError as error:
        raise ValueError(f"claims.{name} ({text}): {error}") from None


def _parsed(name: str, text: str, known: _Known) -> Claim:
    metric, colon, rest = text.partition(":")
    metric, rest = (metric.strip(), rest) if colon else ("top1", text)
    if metric not in METRICS:
        near = get_close_matches(metric, METRICS, n=1)
        raise ValueError(f"nothing is called {metric!r}: " + (f"did you mean {near[0]}?" if near else _there(METRICS)))
    relations = set(re.findall(r"[<>=]", rest))
    if len(relations) != 1:
        raise ValueError("a claim has one relation, > or < or =, and may have it several times")
    relation = relations.pop()
    rest, within, margin = rest.partition(" within ")
    if bool(within) != (relation == "="):
        raise ValueError("= says how near, as in a = b within 0.5; > and < have no margin")
    sides = tuple(_side(part, known) for part in rest.split(relation))
    claim = Claim(
        name=name,
        text=text,
        metric=metric,
        relation=relation,
        sides=sides,
        margin=_positive(margin) if within else 0.0,
    )
    for what in ("bits", "model"):
        if len({getattr(term, what) is None for term in claim.terms}) > 1:
            raise ValueError(f"some terms say their {what} and some do not: say it for all or for none")
    return claim


def _side(text: str, known: _Known) -> Side:
    """Terms with signs between them; a sign stands between spaces, since names have hyphens."""
    parts = re.split(r"\s+([+-])\s+", text.strip())
    signs = [1.0, *(1.0 if sign == "+" else -1.0 for sign in parts[1::2])]
    return tuple(_term(part, sign, known) for part, sign in zip(parts[::2], signs, strict=True))


def _term(text: str, sign: float, known: _Known) -> Term:
    factor, star, rest = text.rpartition("*")
    title, *places = rest.strip().split("@")
    if not title:
        raise ValueError("a side is missing: say what is compared with what")
    bits = model = None
    for place in places:
        if place in known.bits and bits is None:
            bits = place
        elif place in known.models and model is None:
            model = place
        else:
            raise ValueError(f"no cell is @{place}: {_there({**known.bits, **known.models})}")
    return Term(sign * (_positive(factor) if star else 1.0), known.title(title), bits, model)


def _positive(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ValueError(f"{text.strip()!r} is no number above 0")
    return found


def _there(names: Iterable[str]) -> str:
    return f"there are {', '.join(names) or 'none'}"
