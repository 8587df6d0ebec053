"""A recipe as a list of phases on one loop: it trains, and where it wants to, it anneals.

A phase is so many epochs of the same run: one optimizer, one count of steps, one folder, so that a run that stops in
any of them goes on there. The learning rate has reached its end when the last phase begins.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from stillbit.methods.recipe import Recipe
from stillbit.train.settings import ScheduleSettings


class Phase(NamedTuple):
    """What happens in it, and for how long."""

    name: str
    epochs: int


def phases(recipe: Recipe) -> tuple[Phase, ...]:
    """In order; refused where they do not fit into the epochs, or the last one could not move anything."""
    schedule, last = recipe.schedule, recipe.dynamics.anneal.anneal_epochs
    if not last:
        return (Phase("train", schedule.epochs),)
    if schedule.patience is not None:
        raise ValueError(
            "--patience could end a training before its annealing: leave out --patience or --anneal-epochs"
        )
    if last >= schedule.epochs:
        raise ValueError(
            f"--anneal-epochs {last} are the last of --epochs {schedule.epochs}, and weights have to be trained before "
            f"they are annealed: --epochs {schedule.epochs + last}"
        )
    if schedule.sched != "constant" and not schedule.min_lr:
        raise ValueError(
            "annealing moves weights at the rate where the schedule ends, and that is 0: --min-lr 1e-5, or "
            "--anneal-epochs 0"
        )
    return Phase("train", schedule.epochs - last), Phase("anneal", last)


def scheduled(recipe: Recipe) -> ScheduleSettings:
    """The schedule of the learning rate, which belongs to the first phase."""
    return replace(recipe.schedule, epochs=phases(recipe)[0].epochs)


def words(recipe: Recipe) -> str:
    """As a person says them: train 300 epochs, anneal 30."""
    first, *rest = phases(recipe)
    said = [f"{first.name} {first.epochs} epoch{'s' * (first.epochs > 1)}"]
    return ", then ".join([*said, *(f"{phase.name} {phase.epochs}" for phase in rest)])
