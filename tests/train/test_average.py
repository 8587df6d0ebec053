from __future__ import annotations

import pytest
import torch

from stillbit.train.average import average
from stillbit.train.settings import AverageSettings
from tests.train import tiny


def test_there_is_an_average_only_where_one_was_asked_for() -> None:
    assert average(tiny.network(), AverageSettings()) is None


def test_the_average_is_a_copy_that_follows_with_the_decay_that_was_asked_for() -> None:
    model = tiny.network()
    ema = average(model, AverageSettings(model_ema=True, model_ema_decay=0.75))
    assert ema is not None and not ema.module.training
    before = model[1].weight.detach().clone()
    with torch.no_grad():
        model[1].weight.add_(1)
    assert torch.equal(ema.module[1].weight, before)
    ema.update(model, step=5)
    torch.testing.assert_close(ema.module[1].weight, before + 0.25)


def test_a_sharded_model_has_no_average() -> None:
    with pytest.raises(ValueError, match=r"--model-ema .* --fsdp .*: leave out one of them"):
        average(tiny.network(), AverageSettings(model_ema=True), fsdp=True)
    assert average(tiny.network(), AverageSettings(), fsdp=True) is None
