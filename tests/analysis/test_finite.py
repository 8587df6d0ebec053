"""Broken numbers are named."""

from __future__ import annotations

import pytest
from torch import nn

from stillbit.analysis.finite import check_finite


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_first_broken_parameter_is_named_in_one_sentence(bad: float) -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    check_finite(model, "run")
    model[1].bias.data[1] = bad
    with pytest.raises(ValueError, match=r"^the weights of run are broken, 1.bias holds NaN or infinity: give an") as e:
        check_finite(model, "run")
    assert "\n" not in str(e.value)


def test_a_running_mean_that_is_not_a_number_is_found_too() -> None:
    model = nn.BatchNorm2d(2)
    model.get_buffer("running_mean")[0] = float("nan")
    with pytest.raises(ValueError, match="running_mean holds NaN"):
        check_finite(model, "run")


def test_a_mask_of_infinities_is_no_mistake() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("mask", model.weight.detach().new_full((2, 2), float("-inf")))
    check_finite(model, "run")
