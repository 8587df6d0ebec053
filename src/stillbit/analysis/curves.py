"""How a training went: every number that the run logged, over its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, final

from stillbit.analysis.logged import Logged, Row, finite, logged
from stillbit.analysis.record import Record
from stillbit.analysis.table import Column, Table
from stillbit.train.evaluate import JUDGED

MOST = 500
"""Points of a curve."""
NO_CURVES = {"kind", "epoch", "step", "seconds", "images", "oscillation_momentum", "oscillation_threshold"}
"""Of what is logged: the places of the points, and constants that say what another number means."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One logged number over the training.

    Above `MOST` points it is thinned: of each stretch of neighbours the smallest and the largest stay, and the first
    and the last point of all.
    """

    name: str
    """As the log calls it: loss, top1, eval_loss, lr, bins, oscillating, ..."""
    per: Literal["step", "epoch"]
    """Logged every so many steps (a loss is the mean over them), or at the end of an epoch."""
    steps: tuple[int, ...]
    values: tuple[float, ...]
    logged: int
    """Points before thinning."""
    broken: int
    """Points left out because they are no finite number."""


@final
@dataclass(frozen=True, kw_only=True)
class Curves(Record):
    """The curves of one run."""

    kind: ClassVar[str] = "curves"
    epochs: int
    """Whole epochs done."""
    planned: int
    """Epochs that were asked for."""
    steps: int
    """Of the last row of the log."""
    steps_an_epoch: float | None
    """To turn steps into epochs; None before the first epoch ended."""
    seconds: float | None
    """In training, over all parts of a run that was resumed; None if the log does not say."""
    ended: bool
    """Whether the run came to its end."""
    best: float | None
    """The best score in percent, of the average where the run has one; None before the first evaluation."""
    best_epoch: int | None
    curves: tuple[Curve, ...]
    judged_by: Literal["top-1", "score"] = "top-1"
    """What the best one is the best of: texts have a score, by the metrics of their task."""

    def tables(self) -> tuple[Table, ...]:
        """A row a curve."""
        numbers = ("first", "last", "smallest", "largest")
        columns = (
            Column(name="logged", about="As the log calls it"),
            Column(name="per", about="Every so many steps, or at the end of an epoch"),
            Column(name="points", kind="count", about="Before thinning"),
            *(Column(name=name, kind="number") for name in numbers),
        )
        rows = tuple(
            (c.name, c.per, c.logged, c.values[0], c.values[-1], min(c.values), max(c.values)) for c in self.curves
        )
        return (Table(title=f"Training of {self.subject}", columns=columns, rows=rows, note=self._note()),)

    def _note(self) -> str:
        said = [f"{self.epochs} of {self.planned} epochs, {self.steps:,} steps"]
        said += [f"{self.seconds:,.0f} s"] if self.seconds is not None else []
        if self.best is not None:
            said += [f"best {self.judged_by} {self.best:.2f} % after epoch {self.best_epoch}"]
        said += [] if self.ended else ["not ended"]
        broken = sum(curve.broken for curve in self.curves)
        said += [f"{broken} points are no finite number and left out"] if broken else []
        thinned = any(curve.logged > len(curve.values) for curve in self.curves)
        said += [f"curves are thinned to {MOST} points, extremes kept"] if thinned else []
        return "; ".join(said) + "."


def curves(folder: Path, *, subject: str, planned: int) -> Curves:
    """The curves of the run in ``folder``, which was to have ``planned`` epochs."""
    log = logged(folder)
    best = max((row for row in log.epochs if finite(_score(row))), key=_score, default=None)
    rows = sorted((*log.steps, *log.epochs), key=lambda row: row["step"])
    spent = [row["seconds"] for row in rows if finite(row.get("seconds"))]
    last = log.epochs[-1] if log.epochs else None
    return Curves(
        subject=subject,
        epochs=last["epoch"] if last else 0,
        planned=planned,
        steps=rows[-1]["step"],
        steps_an_epoch=last["step"] / last["epoch"] if last and last["epoch"] else None,
        seconds=float(max(spent)) if spent else None,
        ended=(folder / "result.json").is_file(),
        best=_score(best) if best else None,
        best_epoch=best["epoch"] if best else None,
        curves=_curves(log),
        judged_by="score" if best and "score" in best else "top-1",
    )


def _score(row: Row) -> float:
    """What the run is judged by after an epoch."""
    name = next((name for name in JUDGED if name in row), JUDGED[-1])
    score = row.get(f"ema_{name}", row.get(name))
    return float(score) if finite(score) else float("-inf")


def _curves(log: Logged) -> tuple[Curve, ...]:
    """Of steps and of epochs; the learning rate only once, and nothing that is zero everywhere, such as damage."""
    found = [*_of("step", log.steps), *_of("epoch", log.epochs)]
    by_step = {curve.name for curve in found if curve.per == "step"}
    return tuple(c for c in found if any(c.values) and not (c.per == "epoch" and c.name == "lr" and "lr" in by_step))


def _of(per: Literal["step", "epoch"], rows: Sequence[Row]) -> list[Curve]:
    names = dict.fromkeys(name for row in rows for name in row if name not in NO_CURVES)
    made = []
    for name in names:
        held = [(row["step"], row[name]) for row in rows if name in row]
        points = [(step, float(value)) for step, value in held if finite(value)]
        if points:
            steps, values = zip(*thinned(points, MOST), strict=True)
            broken = len(held) - len(points)
            made.append(Curve(name=name, per=per, steps=steps, values=values, logged=len(points), broken=broken))
    return made


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most ``most`` of them: the first, the last, and the extremes of as many stretches as there is room for."""
    if len(points) <= most:
        return list(points)
    stretches, inner = (most - 2) // 2, range(1, len(points) - 1)
    kept = {0, len(points) - 1}
    for number in range(stretches):
        part = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        kept |= {min(part, key=lambda i: points[i][1]), max(part, key=lambda i: points[i][1])}
    return [points[i] for i in sorted(kept)]
