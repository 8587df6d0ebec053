"""How trainings went: every number that was logged, one run or several over each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stillbit.analysis.curves import Curve, Curves
from stillbit.analysis.plot.charts import Series, Words, lines
from stillbit.analysis.plot.figure import Figure, Option

FIRST = ("score", "top1", "eval_loss", "loss", "lr", "oscillating", "moved")
"""The numbers that a reader looks for, in this order; all others come after."""
MEANS = {
    "score": "score of the task in validation, %",
    "top1": "top-1 in validation, %",
    "top5": "top-5 in validation, %",
    "eval_loss": "loss in validation",
    "loss": "loss in training",
    "lr": "learning rate",
    "oscillating": "share of weights that oscillate",
    "moved": "share of weights whose code is another one than at the beginning",
    "bins": "bin penalty",
}
"""What a logged name means, where it is not plain."""


def figures(record: Curves) -> tuple[Figure, ...]:
    """The curves of one run."""
    return compare(((record.subject, record),))


def compare(runs: Sequence[tuple[str, Curves]], colours: Mapping[str, str] | None = None) -> tuple[Figure, ...]:
    """Runs over each other; the reader chooses what is drawn."""
    names = {(curve.name, curve.per): None for _, record in runs for curve in record.curves if len(curve.values) > 1}
    order = sorted(names, key=lambda one: (_place(one[0]), one[1] == "step"))
    options = tuple(_option(name, per, runs, colours or {}) for name, per in order)
    if not options:
        return ()
    caption = (
        "What the training logged, over its steps; a number logged between epochs is a mean over the steps since the "
        "last one. Choose which number to see."
    )
    return (Figure(name="curves", title="Training curves", caption=caption, options=options, choose="number"),)


def _option(name: str, per: str, runs: Sequence[tuple[str, Curves]], colours: Mapping[str, str]) -> Option:
    held = [
        Series(who, _points(found), colours.get(who, ""))
        for who, record in runs
        if (found := _find(record, name, per)) is not None
    ]
    means = MEANS.get(name, name)
    said = Words(
        title=f"{name} an {per}" if per == "epoch" else f"{name} a {per}",
        about=f"{means}, over the steps of {len(held)} runs" if len(held) > 1 else f"{means}, over the steps",
        x="step",
        y=means,
        whole_x=True,
        zero=name in ("oscillating", "moved", "lr"),
    )
    return Option(name=f"{name} ({per})", svg=lines(said, held))


def _find(record: Curves, name: str, per: str) -> Curve | None:
    return next((curve for curve in record.curves if (curve.name, curve.per) == (name, per) and curve.values), None)


def _points(curve: Curve) -> list[tuple[float, float]]:
    return [(float(step), value) for step, value in zip(curve.steps, curve.values, strict=True)]


def _place(name: str) -> int:
    return FIRST.index(name) if name in FIRST else len(FIRST)
