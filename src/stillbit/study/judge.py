"""Whether claims held: the same seeds are compared, and what seeds alone do to a number is noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, product

from stillbit.study.claims import Claim, Side, Term
from stillbit.study.paired import Sample, Verdict, above, sample, within
from stillbit.study.rows import Row, value, widths


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two sides that stand beside each other in a claim."""

    left: str
    right: str
    difference: Sample | None
    """In the direction that the claim says, of the seeds that both have; None where they have none."""
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim at one width and model."""

    claim: Claim
    bits: str
    """Empty where the claim says them itself."""
    model: str
    compared: tuple[Compared, ...]

    @property
    def verdict(self) -> Verdict:
        """Of a list, that of its weakest link; one that did not hold decides."""
        order: tuple[Verdict, ...] = ("not held", "too few seeds", "within noise", "held")
        return min((one.verdict for one in self.compared), key=order.index)


def judge(claim: Claim, rows: Sequence[Row]) -> list[Judged]:
    """At each width and model for which the study has cells of every term."""
    cells = [row for row in rows if row.kind == "cell"]
    found = []
    for bits, model in _places(claim, cells):
        pairs = pairwise(claim.sides)
        compared = tuple(_compared(claim, left, right, (bits, model), cells) for left, right in pairs)
        found.append(Judged(claim=claim, bits=bits, model=model, compared=compared))
    return found


def _places(claim: Claim, cells: Sequence[Row]) -> Iterator[tuple[str, str]]:
    free_bits, free_model = (getattr(claim.terms[0], what) is None for what in ("bits", "model"))
    places = widths(cells) if free_bits else [""]
    models = dict.fromkeys(row.model for row in cells) if free_model else [""]
    there = {(row.title, row.bits, row.model) for row in cells}
    for bits, model in product(places, models):
        if all((t.title, t.bits or bits, t.model or model) in there for t in claim.terms):
            yield bits, model


def _compared(claim: Claim, left: Side, right: Side, place: tuple[str, str], cells: Sequence[Row]) -> Compared:
    sums = [_by_seed(side, claim.metric, place, cells) for side in (left, right)]
    sign = -1.0 if claim.relation == "<" else 1.0
    both = sorted(sums[0].keys() & sums[1].keys())
    differences = [sign * (sums[0][seed] - sums[1][seed]) for seed in both]
    verdict = within(differences, claim.margin) if claim.relation == "=" else above(differences)
    return Compared(left=worded(left), right=worded(right), difference=sample(differences), verdict=verdict)


def _by_seed(side: Side, metric: str, place: tuple[str, str], cells: Sequence[Row]) -> dict[int, float]:
    """The sum of each seed that has all of its terms."""
    each = [_values(term, metric, place, cells) for term in side]
    seeds = set.intersection(*(set(one) for one in each))
    return {seed: sum(term.factor * one[seed] for term, one in zip(side, each, strict=True)) for seed in seeds}


def _values(term: Term, metric: str, place: tuple[str, str], cells: Sequence[Row]) -> dict[int, float]:
    wanted = (term.title, term.bits or place[0], term.model or place[1])
    return {
        row.seed: found
        for row in cells
        if (row.title, row.bits, row.model) == wanted and (found := value(row, metric)) is not None
    }


def worded(side: Side) -> str:
    """A side as one writes it."""
    said = ""
    for index, term in enumerate(side):
        sign = "- " if term.factor < 0 else ("+ " if index else "")
        factor = "" if abs(term.factor) == 1 else f"{abs(term.factor):g} * "
        name = "@".join(part for part in (term.title, term.bits, term.model) if part)
        said += f"{' ' if index else ''}{sign}{factor}{name}"
    return said
