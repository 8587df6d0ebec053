"""The loss around the trained weights, along random directions whose filters are as long as those of the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

from stillbit.analysis.given import Kind
from stillbit.analysis.hessian import Curvature
from stillbit.analysis.record import Record
from stillbit.analysis.table import Cell, Column, Table


@dataclass(frozen=True, kw_only=True)
class Surface:
    """The loss of one model on the grid; None where a point has not been computed yet."""

    of: Literal["quantized", "float"]
    about: str
    """Which weights these are."""
    weights: str
    """Their hash: a grid goes on only around the same ones."""
    losses: tuple[float | None, ...]
    """Row by row: the second direction is the slow one, from its most negative coordinate on."""
    top1s: tuple[float | None, ...]
    """Percent right, at the same points."""
    curvatures: tuple[Curvature, ...]

    @property
    def loss(self) -> float | None:
        """At the centre, as an evaluation on the same samples gives it."""
        return self.losses[len(self.losses) // 2]

    @property
    def top1(self) -> float | None:
        """In percent, at the centre."""
        return self.top1s[len(self.top1s) // 2]

    def at(self, share: float, points: int) -> tuple[float, float] | None:
        """Mean and largest loss at the points whose larger coordinate is nearest to ``share`` of the reach.

        Along two directions these points are a square around the centre, along one the two to its sides. None while
        one of them is missing.
        """
        middle = points // 2
        ring, rows = max(1, int(share * middle + 0.5)), len(self.losses) // points
        held = [
            self.losses[row * points + column]
            for row in range(rows)
            for column in range(points)
            if max(abs(column - middle), abs(row - middle) if rows > 1 else 0) == ring
        ]
        known = [loss for loss in held if loss is not None]
        return (sum(known) / len(known), max(known)) if len(known) == len(held) else None


@final
@dataclass(frozen=True, kw_only=True)
class Landscape(Record):
    """The same directions for the model and, where it is quantized, for its float one."""

    kind: ClassVar[str] = "landscape"
    anew: ClassVar[str] = "--fresh"
    about: str
    """Which checkpoint."""
    data: str
    """The hash of the samples and their labels."""
    dimensions: Literal[1, 2]
    points: int
    """Along a direction; odd, so that the centre is one of them."""
    reach: float
    """Coordinates go from -reach to reach; at 1 every filter has moved by its own norm."""
    images: int
    """Or texts, see ``what``."""
    seed: int
    surfaces: tuple[Surface, ...]
    what: Kind = "images"
    """What was looked at."""

    @property
    def coordinates(self) -> tuple[float, ...]:
        """Along a direction."""
        middle = self.points // 2
        return tuple(self.reach * ((i - middle) / middle) for i in range(self.points))

    @property
    def done(self) -> bool:
        """Whether every point has been computed."""
        return all(loss is not None for surface in self.surfaces for loss in surface.losses)

    def tables(self) -> tuple[Table, ...]:
        """A row a model: the centre, and how the loss rises around it; then the curvature, where it was asked for."""
        numbers = {
            "loss": "At the centre, as an evaluation on the same samples gives it",
            "at 1/4": "Mean loss of the points nearest to a quarter of the way to the edge",
            "at 1/2": "The same at half of the way",
            "at the edge": "The same there",
            "largest there": "Of the points at the edge",
        }
        columns = (
            Column(name="model"),
            Column(name="top-1 %", kind="number", about="At the centre"),
            *(Column(name=name, kind="number", about=about) for name, about in numbers.items()),
        )
        rows = tuple(_row(surface, self.points) for surface in self.surfaces)
        title = f"Loss around the weights of {self.subject}"
        wide = (Table(title=title, columns=columns, rows=rows, note=self._note()),)
        return (*wide, *((_curved(self.surfaces),) if any(s.curvatures for s in self.surfaces) else ()))

    def _note(self) -> str:
        many = "one random direction" if self.dimensions == 1 else "two random directions"
        missing = sum(loss is None for surface in self.surfaces for loss in surface.losses)
        return (
            f"Along {many} (seed {self.seed}), every filter as long as that of the weight, {self.points} points from "
            f"-{self.reach:g} to {self.reach:g}, on {self.images} {self.what}. Biases, norms, positions and learned "
            "scales stand still; in a quantized model the latents move. "
            + "; ".join(f"{surface.of}: {surface.about}" for surface in self.surfaces)
            + "."
            + (f" Still missing: {missing:,} of the points; the same command goes on." if missing else "")
        )


def _row(surface: Surface, points: int) -> tuple[Cell, ...]:
    quarter, half, edge = (surface.at(share, points) for share in (0.25, 0.5, 1.0))
    means = (None if found is None else found[0] for found in (quarter, half, edge))
    return (surface.of, surface.top1, surface.loss, *means, None if edge is None else edge[1])


def _curved(surfaces: tuple[Surface, ...]) -> Table:
    columns = (
        Column(name="model"),
        Column(name="products", about="Exact, or from differences of gradients"),
        Column(
            name="apart",
            kind="number",
            about="How far the two gradients of a difference lie from each other, in norms of the weights",
        ),
        Column(name="eigenvalue", kind="number", about="Of the Hessian, the largest in magnitude"),
        Column(name="residual", kind="number", about="|H v - eigenvalue v| / |eigenvalue|"),
        Column(name="iterations", kind="count"),
        Column(name="samples", kind="count"),
    )
    rows = tuple(
        (surface.of, c.how, c.distance, c.eigenvalue, c.residual, c.iterations, c.images)
        for surface in surfaces
        for c in surface.curvatures
    )
    note = (
        "In the weights that the directions move. The gradient of a quantized model is the straight-through one, which "
        "changes only where codes do: its differences are taken over a distance, and say how it bends on that scale. "
        "Compare differences with differences: over that distance a float model bends less than exactly at its weights."
    )
    return Table(title="Curvature", columns=columns, rows=rows, note=note)
