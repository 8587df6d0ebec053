"""How long, how fast and in what batches the tasks of GLUE are trained, where nobody says otherwise.

BERT's fine-tuning for a float model; for few bits, what BiT's released code has for each task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from stillbit.data.text_tasks import GENERATED, GLUE
from stillbit.methods.recipe import Recipe

SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(task.name for task in GLUE),
    "generated": tuple(task.name for task in GENERATED),
}
"""What --task may name beside a task, and which tasks it stands for."""


class Row(NamedTuple):
    """Of one task."""

    epochs: int
    lr: float
    batch_size: int
    max_length: int


LOW_BIT = {
    "cola": Row(50, 5e-4, 16, 64),
    "sst2": Row(10, 1e-4, 8, 64),
    "mrpc": Row(20, 5e-4, 8, 128),
    "stsb": Row(20, 5e-4, 8, 128),
    "qqp": Row(6, 2e-4, 32, 128),
    "mnli": Row(6, 2e-4, 16, 128),
    "qnli": Row(10, 2e-4, 8, 128),
    "rte": Row(20, 5e-4, 8, 128),
    "wnli": Row(20, 5e-4, 8, 128),
}
"""BiT's, but for wnli, which its paper leaves out: that is rte's, and ours."""
FINE_TUNING = Row(3, 2e-5, 32, 128)
"""BERT's, for every task (arXiv 1810.04805); of the four rates that its paper tries, the lowest."""
WARM = 0.1
"""Both let the rate rise for a tenth of the steps."""


def tuned(recipe: Recipe, said: Mapping[str, str], through: Sequence[str] | None = None) -> Recipe:
    """The recipe with the numbers of a task of GLUE, but for those whose flags were ``said``; of others as it is.

    ``said`` are flags with the word behind each, and ``through`` the widths that were said, if any were.
    """
    task = said.get("--task", recipe.text.task)
    if task not in LOW_BIT:
        return recipe
    row = FINE_TUNING if recipe.quant is None else LOW_BIT[task]
    epochs, rate = _number(said.get("--epochs"), row.epochs), _number(said.get("--lr"), row.lr)
    recipe = replace(
        recipe,
        optim=replace(recipe.optim, lr=rate),
        schedule=replace(recipe.schedule, epochs=max(int(epochs), 1), warmup_epochs=WARM * epochs),
        data=replace(recipe.data, batch_size=row.batch_size),
        text=replace(recipe.text, max_length=row.max_length),
    )
    return recipe if recipe.quant is None else _through(recipe, said, through)


def _through(recipe: Recipe, said: Mapping[str, str], through: Sequence[str] | None) -> Recipe:
    """The float model on the way is fine-tuned; the other widths are trained as the last one is."""
    quant = recipe.quant
    assert quant is not None
    way = quant.through if through is None else tuple(through)
    if "w32a32" not in way:
        return recipe
    epochs = tuple(FINE_TUNING.epochs if width == "w32a32" else recipe.schedule.epochs for width in way)
    rates = tuple(FINE_TUNING.lr if width == "w32a32" else recipe.optim.lr for width in way)
    if {"--epochs", "--through-epochs"} & set(said):
        epochs = quant.through_epochs
    if "--through-lr" in said:
        rates = quant.through_lr
    bits = said.get("--bits", quant.bits)
    return replace(recipe, quant=replace(quant, bits=bits, through=way, through_epochs=epochs, through_lr=rates))


def _number(word: str | None, otherwise: float) -> float:
    """What was said, if it is a number; what is none, the parser will say."""
    try:
        return otherwise if word is None else float(word)
    except ValueError:
        return otherwise
