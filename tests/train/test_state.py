from __future__ import annotations

from tests.train import tiny


def test_a_training_begins_at_nothing() -> None:
    training = tiny.training()
    assert (training.epoch, training.batch, training.step) == (0, 0, 0)
    assert training.scores == {} and training.best == {}


def test_a_run_is_judged_by_its_average_if_it_has_one() -> None:
    plain, averaged = tiny.training(), tiny.training(ema=True)
    assert plain.judged is plain.model
    assert averaged.ema is not None and averaged.judged is averaged.ema.module is not averaged.model
