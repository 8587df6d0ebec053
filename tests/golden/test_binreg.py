"""The bin penalty, dampening and the rising strength, against the released code of VVTQ.

``clean`` is where the released code finds its bins; ``eqbug`` is where it compares floats and loses some. There only
the value that it would have had with integer bins is compared. Two things are ours and the paper's: bins need more than
two members (the released code takes two as well, which decides at 8 bits), and the scale stands still.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stillbit.dynamics.bins import FEWEST, bin_loss
from stillbit.dynamics.dampen import dampening
from stillbit.dynamics.ramp import Ramp
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent

RELEASED_FEWEST = 2
CLEAN = [f"clean/b{bits}" for bits in (2, 3, 4)]
LOST = [f"eqbug/b{bits}" for bits in (3, 4)]
MODULES = ("fc1", "fc2", "conv")


def latent_of(numbers, case: str, module: str, precision: str = "f64") -> Latent:
    weight = numbers(f"{case}/{module}/w", precision).requires_grad_()
    scale = numbers(f"{case}/{module}/alpha", precision).view((1,) * weight.dim())
    return Latent(weight, Grid(int(numbers(f"{case}/{module}/bits"))), scale)


def gradient(value: Tensor, latent: Latent) -> Tensor:
    (found,) = torch.autograd.grad(value, latent.x)
    return found


@pytest.mark.parametrize("precision", ["f64", "f32"])
@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("case", CLEAN)
def test_values_and_gradients_agree_where_the_released_code_finds_its_bins(
    golden, close, case: str, module: str, precision: str
) -> None:
    numbers = golden("binreg")
    at = f"{case}/{precision}/{module}"
    for form in ("mean", "sum"):
        latent = latent_of(numbers, case, module, precision)
        close(bin_loss(latent, form, RELEASED_FEWEST), numbers(f"{at}/loss_{form}"), precision)
    latent = latent_of(numbers, case, module, precision)
    close(gradient(bin_loss(latent, "mean", RELEASED_FEWEST), latent), numbers(f"{at}/dw"), precision)


@pytest.mark.parametrize("case", CLEAN + LOST)
def test_the_total_is_that_of_integer_bins_also_where_the_released_code_loses_some(golden, close, case: str) -> None:
    numbers = golden("binreg")
    losses = [bin_loss(latent_of(numbers, case, m), "mean", RELEASED_FEWEST) for m in MODULES]
    close(torch.stack(losses).sum(), numbers(f"{case}/f64/fixed_total"), "f64")


def test_the_released_code_does_lose_bins_in_single_precision(golden) -> None:
    numbers = golden("binreg")
    for case in LOST:
        lost, whole = numbers(f"{case}/f32/total"), numbers(f"{case}/f32/fixed_total")
        ours = sum(bin_loss(latent_of(numbers, case, m, "f32"), "mean", RELEASED_FEWEST) for m in MODULES)
        torch.testing.assert_close(ours.detach(), whole, rtol=1e-5, atol=0.0)
        assert lost < 0.97 * whole, "else this file shows nothing"


@pytest.mark.parametrize("case", CLEAN)
def test_bins_of_two_count_in_the_released_code_and_not_in_the_paper(golden, case: str) -> None:
    numbers = golden("binreg")
    for module, few in (("fc1", False), ("conv", True)):
        latent = latent_of(numbers, case, module)
        released, paper = bin_loss(latent, "mean", RELEASED_FEWEST), bin_loss(latent, "mean", FEWEST)
        assert (paper < released) == few


@pytest.mark.parametrize("module", MODULES)
@pytest.mark.parametrize("case", CLEAN)
def test_dampening_is_the_first_term_alone(golden, close, case: str, module: str) -> None:
    numbers = golden("binreg")
    latent = latent_of(numbers, case, module)
    mean = numbers(f"{case}/f64/{module}/mse_only_mean")
    close(dampening(latent, "mean"), mean, "f64")
    close(dampening(latent, "sum"), mean * latent.x.numel(), "f64")
    # kernel_mean sums over outputs and averages over the rest; the published totals have the variances on top.
    apart = numbers(f"{case}/f64/{module}/loss_kernel_mean") - (numbers(f"{case}/f64/{module}/loss_mean") - mean)
    torch.testing.assert_close(dampening(latent, "kernel_mean").detach(), apart, rtol=1e-8, atol=1e-18)


def test_strengths_rise_as_in_the_released_schedules(golden, close) -> None:
    numbers = golden("binreg")
    official = Ramp(steps=150, last=0.01, after=0.25)
    values = [official(int(t)) for t in numbers("schedule/official_t")]
    close(torch.tensor(values, dtype=torch.float64), numbers("schedule/official_lambda"), "f64")
    falling = Ramp(steps=100, first=20.0, last=2.0, after=0.0)
    values = [falling(int(t)) for t in numbers("schedule/default_t")]
    close(torch.tensor(values, dtype=torch.float64), numbers("schedule/default_value"), "f64")
