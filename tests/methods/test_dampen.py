from stillbit.methods.dampen import dampen
from stillbit.methods.lsq import lsq


def test_it_is_lsq_and_one_word_more() -> None:
    recipe, plain = dampen(), lsq()
    assert (recipe.quant, recipe.optim, recipe.schedule) == (plain.quant, plain.optim, plain.schedule)
    assert recipe.dynamics != plain.dynamics and recipe.dynamics.penalty.dampen == 0.1
