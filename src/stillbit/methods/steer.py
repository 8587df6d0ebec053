"""What watches and steers the weights of a run: the words of dynamics, introduced to the loop."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from stillbit.dynamics.build import check, hooks, penalized, wishes
from stillbit.dynamics.freeze_bits import FreezeBits
from stillbit.dynamics.penalty import Penalized, Priced
from stillbit.dynamics.ramp import Ramp
from stillbit.methods.recipe import Recipe
from stillbit.surgery.bitops import Budget
from stillbit.train.hooks import Hook
from stillbit.train.state import Training
from stillbit.train.task import Task

LEARNED = "learned_bits"
"""The quantizer whose bits are parameters."""


class Steered(NamedTuple):
    """A task with what weights cost, and the hooks that belong to it."""

    task: Task
    hooks: list[Hook]


def steered(recipe: Recipe, task: Task, training: Training, steps: int) -> Steered:
    """The task and the hooks that a recipe asks for; ``steps`` are those of an epoch."""
    settings, epochs = recipe.dynamics, recipe.schedule.epochs
    task, made = _budgeted(recipe, task, training.model, epochs * steps)
    priced = penalized(task, training.model, settings.penalty, epochs * steps)
    if priced is not None:
        task = priced
        made.append(priced)
    made += hooks(training.model, training.optimizer, settings, epochs=epochs, steps=steps)
    return Steered(task, made)


def _budgeted(recipe: Recipe, task: Task, model: Any, steps: int) -> tuple[Task, list[Hook]]:
    """Learned bits have a budget, if one is given, and a day from which they stay."""
    quant = recipe.quant
    if quant is None or LEARNED not in (quant.weight, quant.activation):
        return task, []
    budget = Budget(model, inf if quant.bit_budget is None else quant.bit_budget)
    if quant.bit_budget is not None:
        strength = Ramp(steps=steps, first=quant.bit_budget_strength, last=quant.bit_budget_strength)
        task = Penalized(task, [Priced(budget, strength)])
    return task, [FreezeBits(model, steps, quant.bit_freeze, cost=budget.gbitops)]


def check_steering(recipe: Recipe) -> None:
    """Refuse to steer codes where there are none."""
    if recipe.quant is not None and not recipe.quant.weights_last:
        return
    why = f"the weights of {recipe.method} have none"
    if recipe.quant is not None:
        why = "--weights-last leaves weights float while they train"
    for wish in wishes(recipe.dynamics):
        raise ValueError(f"{wish.flag} is about codes, and {why}: leave it out")


def check_widths(recipe: Recipe, model: Any) -> None:
    """Refuse what is for few bits where there are more, before the model is calibrated."""
    if recipe.quant is not None:
        check(model, recipe.dynamics)


def above_budget(recipe: Recipe, scores: dict[str, float]) -> str | None:
    """A sentence, if learned bits cost more than they were to."""
    budget = None if recipe.quant is None else recipe.quant.bit_budget
    cost = scores.get("gbitops", 0.0)
    if budget is None or cost <= 1.001 * budget:
        return None
    return (
        f"The model has {cost:.4g} G bit operations, and its budget is {budget:g}: train longer, or give a higher "
        "--bit-budget-strength or --scale-lr, by which bits move."
    )
