import pytest
import torch

from stillbit.quantizers import LSQ, Grid, LSQPlus, by_count, by_magnitude, per_head
from stillbit.quantizers.calibrate import mse


@pytest.mark.parametrize("gradscale", ["by_count", "by_magnitude"])
def test_the_gradient_scale_reaches_the_scale_and_nothing_else(gradscale):
    w, upstream = torch.randn(6, 8, dtype=torch.float64), torch.randn(6, 8, dtype=torch.float64)
    blocks = per_head.of_weight((6, 8), heads=3)
    quantizer = LSQ(Grid(3), blocks, gradscale=gradscale).double()
    x = w.clone().requires_grad_()
    quantizer(x).value().backward(upstream)
    scale = quantizer.scale.detach().repeat_interleave(2, 0)
    steps = w / scale
    code = steps.round().clamp(-4, 3)
    inside = (steps >= -4) & (steps <= 3)
    raw = (upstream * torch.where(inside, code - steps, code)).reshape(3, 16).sum(1, keepdim=True)
    factor = {"by_count": by_count, "by_magnitude": by_magnitude}[gradscale](w, Grid(3), blocks)
    torch.testing.assert_close(quantizer.scale.grad, raw * factor, rtol=1e-12, atol=0)
    assert torch.equal(x.grad, upstream * inside)


def test_before_any_data_it_fits_standard_normal_numbers():
    x = torch.randn(100_000)
    for bits in (2, 3, 4):
        quantizer = LSQ(Grid(bits), (1,))
        fresh = (quantizer(x).value() - x).square().mean()
        quantizer.start(x)
        started = (quantizer(x).value() - x).square().mean()
        assert started <= fresh <= 1.02 * started


def test_a_learned_shift_before_any_data_fits_the_gelu_of_standard_normal_numbers():
    x = torch.nn.functional.gelu(torch.randn(100_000))
    for bits in (2, 3, 4):
        quantizer = LSQPlus(Grid(bits, signed=False), (1,))
        fresh = (quantizer(x).value() - x).square().mean()
        quantizer.start(x)
        started = (quantizer(x).value() - x).square().mean()
        assert started * 0.99 <= fresh <= 1.02 * started


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_a_learned_shift_gets_no_gradient_inside_and_the_upstream_outside(bits):
    x = torch.linspace(-3, 5, 513, dtype=torch.float64)
    quantizer = LSQPlus(Grid(bits, signed=False), (1,)).double()
    with torch.no_grad():
        quantizer.scale.fill_(3.0 / quantizer.grid.high)
        quantizer.shift.fill_(-0.5)
    value = quantizer(x).value()
    steps = (x + 0.5) / quantizer.scale.detach()
    outside = (steps < 0) | (steps > quantizer.grid.high)
    assert 0.4 < outside.double().mean() < 0.8
    each = torch.stack([torch.autograd.grad(v, quantizer.shift, retain_graph=True)[0] for v in value]).flatten()
    assert torch.equal(each, outside.double())


def test_the_gradient_of_a_shift_is_not_scaled():
    """Unlike the scale's: as in the authors' code, and in LSQ+."""
    x = torch.full((10, 7), 50.0)
    quantizer = LSQPlus(Grid(3, signed=False), (1,), gradscale="by_magnitude")
    quantizer(x).value().sum().backward()
    assert quantizer.shift.grad.item() == 70


def test_start_takes_scale_and_shift_from_the_rule():
    x = torch.nn.functional.gelu(torch.randn(4, 50, 8))
    quantizer = LSQPlus(Grid(3, signed=False), (8,))
    quantizer.start(x)
    begin = mse(x, Grid(3, signed=False), (8,), shifted=True)
    assert torch.equal(quantizer.scale, begin.scale) and torch.equal(quantizer.shift, begin.shift)
    assert (quantizer.shift < 0).all()  # a GELU is never below -0.17, and goes there


def test_a_shift_helps_a_gelu():
    x = torch.nn.functional.gelu(torch.randn(20_000))
    for bits in (2, 3, 4):
        errors = []
        for quantizer in (LSQPlus(Grid(bits, signed=False), (1,)), LSQ(Grid(bits), (1,)), LSQ(Grid(bits, False), (1,))):
            quantizer.start(x)
            errors.append((quantizer(x).value() - x).square().mean().item())
        assert errors[0] < 0.75 * errors[1] and errors[0] < errors[2]


def test_a_shift_is_for_activations():
    assert LSQPlus.serves == {"activation"}
    assert LSQ.serves == {"weight", "activation"}
