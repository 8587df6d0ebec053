"""The numbers of GLUE's tasks, where nobody says otherwise."""

from __future__ import annotations

import pytest

from stillbit.data.text_tasks import GLUE, TASKS
from stillbit.methods import RECIPES
from stillbit.methods.glue import FINE_TUNING, LOW_BIT, SETS, tuned
from stillbit.methods.recipe import Recipe


def made(method: str, task: str, through: list[str] | None = None, **said: str) -> Recipe:
    flags = {f"--{name.replace('_', '-')}": word for name, word in said.items()}
    return tuned(RECIPES[method](), {"--task": task, **flags}, through)


def test_every_task_of_glue_has_its_numbers() -> None:
    assert set(LOW_BIT) == {task.name for task in GLUE} == set(SETS["all"])
    assert set(SETS["all"]) | set(SETS["generated"]) == set(TASKS)


@pytest.mark.parametrize("task", LOW_BIT)
def test_few_bits_are_trained_as_bit_trains_them_and_floats_are_fine_tuned(task: str) -> None:
    for method, row in (("bit", LOW_BIT[task]), ("lsq", LOW_BIT[task]), ("fp", FINE_TUNING)):
        recipe = made(method, task)
        found = recipe.schedule.epochs, recipe.optim.lr, recipe.data.batch_size, recipe.text.max_length
        assert found == row and recipe.schedule.warmup_epochs == pytest.approx(row.epochs / 10)


def test_on_the_way_the_float_model_is_fine_tuned() -> None:
    quant = made("bit", "mnli").quant
    assert quant is not None and (quant.through_epochs, quant.through_lr) == ((3, 6), (2e-5, 2e-4))
    quant = made("lsq", "mnli", ["w8a8"]).quant
    assert quant is not None and (quant.through_epochs, quant.through_lr) == ((), ())
    quant = made("lsq", "rte", ["w32a32", "w3a3"], bits="w2a2").quant
    assert quant is not None and (quant.through_epochs, quant.through_lr) == ((3, 20), (2e-5, 5e-4))


def test_what_was_said_stays_with_the_person() -> None:
    recipe = made("bit", "rte", epochs="2", lr="1e-3")
    assert (recipe.schedule.epochs, recipe.optim.lr, recipe.schedule.warmup_epochs) == (2, 1e-3, 0.2)
    assert recipe.quant is not None and recipe.quant.through_epochs == (), "two epochs of every width"
    assert recipe.quant.through_lr == (2e-5, 1e-3)
    assert made("bit", "rte", epochs="two").schedule.epochs == 20, "the parser will say that it is no number"


def test_other_tasks_and_images_are_left_alone() -> None:
    for task in ("entailment", "classify", ""):
        assert made("bit", task) == RECIPES["bit"]()
