from stillbit.methods.kure import kure
from stillbit.methods.lsq import lsq


def test_it_is_lsq_and_one_word_more() -> None:
    recipe, plain = kure(), lsq()
    assert (recipe.quant, recipe.optim, recipe.schedule) == (plain.quant, plain.optim, plain.schedule)
    assert recipe.dynamics != plain.dynamics and recipe.dynamics.penalty.kure == 1
