"""What a training would cost, measured on a few of its steps."""

from __future__ import annotations

import pytest

from stillbit.train.cost import measure
from stillbit.train.settings import OptimSettings
from tests.train import tiny


def test_a_cost_has_three_parts_and_takes_as_many_steps_as_it_is_told_and_one() -> None:
    training = tiny.training()
    cost = measure(tiny.loop(), training, tiny.loader(), steps=2)
    assert cost.step_seconds > 0 and cost.image_seconds > 0 and training.step == 3


@pytest.mark.parametrize(("opt", "copies"), [("adamw", 3), ("sgd", 2)])
def test_a_checkpoint_is_as_large_as_the_model_and_what_its_optimizer_remembers(opt: str, copies: int) -> None:
    training = tiny.training(settings=OptimSettings(opt=opt, lr=0.01))
    model = sum(p.nbytes for p in training.model.parameters())
    found = measure(tiny.loop(), training, tiny.loader(), steps=1).checkpoint_bytes
    assert copies * model <= found < copies * model + 100
    averaged = tiny.training(settings=OptimSettings(opt=opt, lr=0.01), ema=True)
    assert measure(tiny.loop(), averaged, tiny.loader(), steps=1).checkpoint_bytes == found + model


def test_data_for_a_single_step_is_enough() -> None:
    assert measure(tiny.loop(), tiny.training(), tiny.loader(4, 4), steps=2).step_seconds > 0
