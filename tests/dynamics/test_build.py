from __future__ import annotations

import pytest

from stillbit.dynamics.anneal import Anneal
from stillbit.dynamics.build import hooks, penalized, prepare_model, prepare_optimizer
from stillbit.dynamics.freeze import Freeze
from stillbit.dynamics.oscillation import Oscillation
from stillbit.dynamics.settings import (
    AnnealSettings,
    DynamicsSettings,
    FreezeSettings,
    PenaltySettings,
    TrackSettings,
    TransitionSettings,
)
from stillbit.dynamics.transition import GROUP, Transition
from tests.dynamics import small

EVERYTHING = DynamicsSettings(
    track=TrackSettings(track=True),
    penalty=PenaltySettings(bin_reg=0.1, dampen=0.2, kure=0.3),
    freeze=FreezeSettings(freeze=True, freeze_start=0.5, freeze_threshold=0.02),
    anneal=AnnealSettings(anneal_epochs=2, anneal_range=0.01),
    transition=TransitionSettings(transition_rate=0.01, transition_momentum=0.9, transition_gain=3.0),
)


def test_where_all_is_off_nothing_is_built_and_nothing_is_touched() -> None:
    model = small.vit()
    training, off = small.training(model), DynamicsSettings()
    groups = [dict(group) for group in training.optimizer.param_groups]
    prepare_model(model, off)
    prepare_optimizer(training.optimizer, model, off)
    assert hooks(model, training.optimizer, off, epochs=3, steps=4) == []
    assert penalized(small.Fit(), model, off.penalty, 12) is None
    assert [g["name"] for g in training.optimizer.param_groups] == [g["name"] for g in groups]
    assert all(p.requires_grad for p in model.parameters())


def test_everything_at_once_trains() -> None:
    model = small.vit()
    prepare_model(model, EVERYTHING)
    training = small.training(model)
    prepare_optimizer(training.optimizer, model, EVERYTHING)
    made = hooks(model, training.optimizer, EVERYTHING, epochs=4, steps=3)
    transition, anneal, freeze, tracker = made
    assert isinstance(transition, Transition) and transition.eta == pytest.approx(3 * 1e-2)
    assert (transition.momentum, transition.target.steps) == (0.9, 12)
    assert isinstance(freeze, Freeze) and (freeze.threshold.last, freeze.threshold.after) == (0.02, 0.5)
    assert isinstance(anneal, Anneal) and (anneal.begin, anneal.band) == (6, 0.01)
    assert isinstance(tracker, Oscillation)
    assert len({hook.name for hook in made}) == 4 and training.optimizer.param_groups[-1]["name"] == GROUP
    task = penalized(small.Fit(), model, EVERYTHING.penalty, 12)
    assert task is not None
    ramps = {p.penalty.name: p.strength for p in task.penalties}
    assert {name: ramp(12) for name, ramp in ramps.items()} == {"bins": 0.1, "dampen": 0.2, "kurtosis": 0.3}
    assert {name: ramp(0) for name, ramp in ramps.items()} == {"bins": 0.0, "dampen": 0.0, "kurtosis": 0.3}
    small.train(training, 12, [*made, task], task)
    for hook in made:
        hook.after_epoch(training)
    assert {"oscillating", "frozen", "in_band", "transition_rate"} <= training.scores.keys()


def test_more_epochs_of_annealing_than_of_training_are_refused() -> None:
    model = small.vit()
    settings = DynamicsSettings(anneal=AnnealSettings(anneal_epochs=5))
    with pytest.raises(ValueError, match="--anneal-epochs 5 are the last of --epochs 4, which are fewer"):
        hooks(model, small.training(model).optimizer, settings, epochs=4, steps=3)


def test_a_penalty_for_weights_that_are_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="the bin penalty is for weights of 2 or 3 bits"):
        penalized(small.Fit(), small.vit(4), PenaltySettings(bin_reg=0.1), 10)


def test_what_is_frozen_keeps_its_code_also_during_the_annealing() -> None:
    model = small.vit()
    training = small.training(model, lr=0.02)
    settings = DynamicsSettings(
        freeze=FreezeSettings(freeze=True, freeze_start=0.0, freeze_threshold=0.02, freeze_momentum=0.1),
        anneal=AnnealSettings(anneal_epochs=2, anneal_range=0.2),
    )
    made = hooks(model, training.optimizer, settings, epochs=4, steps=10)
    freeze = made[-1]
    assert isinstance(freeze, Freeze)
    for _ in range(40):
        small.train(training, 1, made)
        for weight in freeze.weights:
            pins = freeze.pins[weight.name]
            assert ((weight.codes() == pins.codes) | ~pins.frozen).all()
    assert freeze.numbers()["frozen"] > 0.01
