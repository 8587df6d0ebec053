from stillbit.methods.fp import fp


def test_float_training_is_adamw_with_warm_up_and_cosine_and_quantizes_nothing() -> None:
    recipe = fp()
    assert recipe.quant is None and recipe.optim.opt == "adamw" and recipe.optim.weight_decay == 0.05
    assert recipe.schedule.sched == "cosine" and recipe.schedule.warmup_epochs == 5
