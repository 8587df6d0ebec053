"""A short training: of a copy, the same each time, and of all that can learn."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from stillbit.analysis.retrain import retrained
from stillbit.train.settings import OptimSettings
from tests.analysis.lowered import batch, pair, vit

OPTIM = OptimSettings(lr=3e-3)


def test_the_loss_falls_and_the_model_it_began_with_stays() -> None:
    held, given = pair(bits="w3a3"), batch(24)
    held.switched.set("low")
    before = {name: tensor.clone() for name, tensor in held.switched.model.state_dict().items()}
    with torch.no_grad():
        was = cross_entropy(held.switched(given.images), given.targets)
    model = retrained(held.switched, [given] * 15, 15, OPTIM)
    with torch.no_grad():
        assert cross_entropy(model(given.images), given.targets) < 0.8 * was
    assert not model.training
    assert all(torch.equal(before[name], t) for name, t in held.switched.model.state_dict().items())


def test_weights_and_the_scales_in_use_learn_and_those_that_are_not_do_not() -> None:
    held = pair(bits="w3a3")
    held.switched.set("low")
    model = retrained(held.switched, [batch(8)] * 3, 3, OPTIM)
    moved = {
        name
        for (name, was), (_, now) in zip(held.switched.model.named_parameters(), model.named_parameters(), strict=True)
        if not torch.equal(was, now)
    }
    assert {"blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc1.weight_quantizer.low.scale"} <= moved
    assert not {name for name in moved if ".high." in name}


def test_what_is_random_is_drawn_the_same_way_each_time_and_from_no_generator_of_others() -> None:
    held = pair(vit(drop_path_rate=0.3), bits="w3a3")
    state = torch.get_rng_state()
    first, second = (retrained(held.switched, [batch(8)] * 4, 4, OPTIM).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.get_rng_state())


def test_too_few_batches_are_one_sentence() -> None:
    with pytest.raises(ValueError, match="5 steps need as many batches, and there were 2: ask for fewer, --train 2"):
        retrained(pair().switched, [batch(4)] * 2, 5, OPTIM)
