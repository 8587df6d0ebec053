"""Compute a landscape point by point, and keep what is there, so that a scan that was stopped can go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from itertools import product
from math import isfinite
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from stillbit.analysis.directions import direction, movable, move
from stillbit.analysis.finite import check_finite
from stillbit.analysis.given import Given, kind_of, tensors_of
from stillbit.analysis.gradient import check_classes, counted, of_one_class
from stillbit.analysis.hessian import Curvature, PowerSettings, curvature
from stillbit.analysis.landscape import Landscape, Surface
from stillbit.analysis.untouched import untouched
from stillbit.distill.weights_hash import weights_hash
from stillbit.train.evaluate import scored

OFTEN = 4
"""Points between two times that what is there is kept."""
Keep = Callable[[Landscape], None]


class Side(NamedTuple):
    """A model to be scanned, next to others."""

    of: Literal["quantized", "float"]
    about: str
    model: nn.Module


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """Which points."""

    dimensions: Literal[1, 2] = 1
    points: int = 21
    """Along a direction; odd."""
    reach: float = 1.0
    """Coordinates go from -reach to reach."""
    seed: int = 0
    """Of the directions."""

    def __post_init__(self) -> None:
        """Refuse a grid without a centre, or without a size."""
        if self.points < 3 or self.points % 2 == 0:
            raise ValueError(
                f"the weights themselves are the middle point, so points are odd and at least 3, got {self.points}: "
                f"--points {max(3, self.points + 1)}"
            )
        if not (self.reach > 0 and isfinite(self.reach)):
            raise ValueError(f"--range is how far to go from the weights, above 0, got {self.reach}: --range 1")


def begin(
    sides: Sequence[Side], batches: Sequence[Given], settings: ScanSettings, *, subject: str, about: str
) -> Landscape:
    """The landscape before its first point."""
    for side in sides:
        check_finite(side.model, subject)
        if not movable(side.model):
            raise ValueError(f"{subject} has no matrix and no kernel to move: give a model with linear layers")
        with untouched(side.model):
            check_classes(side.model, batches, subject)
    if of_one_class(batches):
        what = kind_of(batches)
        raise ValueError(
            f"all {what} are of one class, and a loss on them says little of {subject}: give {what} of at least two"
        )
    blank = (None,) * settings.points**settings.dimensions
    surfaces = [
        Surface(of=of, about=told, weights=weights_hash(model), losses=blank, top1s=blank, curvatures=())
        for of, told, model in sides
    ]
    return Landscape(
        subject=subject,
        about=about,
        data=_hash(batches),
        dimensions=settings.dimensions,
        points=settings.points,
        reach=settings.reach,
        images=counted(batches),
        seed=settings.seed,
        surfaces=tuple(surfaces),
        what=kind_of(batches),
    )


def differences(begun: Landscape, fresh: Landscape) -> list[str]:
    """In what a scan that was begun is another one than the one that is wanted; where it lies may differ."""
    names = [f.name for f in fields(Landscape) if f.name not in ("subject", "about", "data", "surfaces")]
    said = [
        f"{n} {getattr(begun, n)} there and {getattr(fresh, n)} here"
        for n in names
        if getattr(begun, n) != getattr(fresh, n)
    ]
    said += [f"other {fresh.what}"] if begun.data != fresh.data and begun.images == fresh.images else []
    mine, other = ([(s.of, s.weights) for s in scan.surfaces] for scan in (fresh, begun))
    return said + (["other weights"] if mine != other else [])


def scan(
    begun: Landscape, sides: Sequence[Side], batches: Sequence[Given], keep: Keep, power: PowerSettings | None = None
) -> Landscape:
    """Compute the points that ``begun`` lacks, and the curvatures if ``power`` says how; ``keep`` gets what is there.

    ``begun`` is of these sides and batches: `begin` made it, or `differences` found none.
    """
    for number, side in enumerate(sides):
        begun = _surface(begun, number, side, batches, keep)
        if power is not None and not begun.surfaces[number].curvatures:
            begun = _with(begun, number, curvatures=_curvatures(side, batches, power))
            keep(begun)
    return begun


def _surface(begun: Landscape, number: int, side: Side, batches: Sequence[Given], keep: Keep) -> Landscape:
    """The points that are missing of one surface."""
    losses, top1s = (list(held) for held in (begun.surfaces[number].losses, begun.surfaces[number].top1s))
    missing = [i for i, loss in enumerate(losses) if loss is None]
    places = [at[::-1] for at in product(begun.coordinates, repeat=begun.dimensions)]
    with untouched(side.model):
        parameters = movable(side.model)
        origin = {name: parameter.detach().clone() for name, parameter in parameters.items()}
        along = tuple(direction(origin, seed=begun.seed, number=n) for n in range(begun.dimensions))
        for done, i in enumerate(missing, 1):
            move(parameters, origin, along, places[i])
            losses[i], top1s[i] = _score(side, batches, places[i])
            if done % OFTEN == 0 or done == len(missing):
                begun = _with(begun, number, losses=tuple(losses), top1s=tuple(top1s))
                keep(begun)
    return begun


def _with(scan: Landscape, number: int, **changes: Any) -> Landscape:
    surfaces = list(scan.surfaces)
    surfaces[number] = replace(surfaces[number], **changes)
    return replace(scan, surfaces=tuple(surfaces))


def _score(side: Side, batches: Sequence[Given], at: tuple[float, ...]) -> tuple[float, float]:
    """Loss and percent right where the weights are now, as an evaluation computes them."""
    scores = scored(side.model, batches, device=batches[0].targets.device)
    if not isfinite(scores["eval_loss"]):
        where = ", ".join(f"{coordinate:g}" for coordinate in at)
        raise ValueError(f"the loss of the {side.of} model is not finite at ({where}): stay nearer, --range 0.5")
    return scores["eval_loss"], scores["top1"]


def _curvatures(side: Side, batches: Sequence[Given], power: PowerSettings) -> tuple[Curvature, ...]:
    """Differences for all, to compare; exact products where there are any."""
    ways: tuple[Literal["exact", "differences"], ...] = (
        ("differences",) if side.of == "quantized" else ("exact", "differences")
    )
    return tuple(curvature(side.model, batches, power, how) for how in ways)


def _hash(batches: Sequence[Given]) -> str:
    """Of the samples and their labels, batch by batch: how they are dealt out decides the last bits of a loss."""
    digest = sha256()
    for batch in batches:
        for tensor in tensors_of(batch):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
