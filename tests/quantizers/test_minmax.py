import pytest
import torch

from stillbit.quantizers import Grid, MinMax


@pytest.mark.parametrize("bits", range(1, 9))
def test_live_the_largest_magnitude_of_every_block_is_its_outermost_value(bits):
    w = torch.randn(6, 16)
    value = MinMax(MinMax.grid_for(bits, True), (6, 1), live=True)(w).value()
    top, value_there = w.abs().max(1), value.abs().max(1).values
    torch.testing.assert_close(value_there, top.values, rtol=2e-7, atol=0)
    there = w.gather(1, top.indices[:, None]).sign() * value.gather(1, top.indices[:, None])
    torch.testing.assert_close(there.flatten(), top.values, rtol=2e-7, atol=0)


def test_live_it_follows_the_tensor_and_ignores_its_start():
    w = torch.randn(6, 16)
    quantizer = MinMax(Grid(4), (6, 1), live=True)
    before = quantizer(w).scale
    quantizer.start(w * 100)
    assert torch.equal(quantizer(w).scale, before)
    torch.testing.assert_close(quantizer(w * 2).scale, 2 * before)


def test_otherwise_it_keeps_what_was_measured():
    quantizer = MinMax(Grid(4, signed=False), (1,))
    quantizer.start(torch.tensor([0.5, -3.0, 1.0]))
    assert quantizer.scale.item() == pytest.approx(3.0 / 15)
    quantizer(torch.randn(9) * 100).value()
    assert quantizer.scale.item() == pytest.approx(3.0 / 15)


def test_another_rule_may_measure_it():
    x = torch.randn(10_000)
    x[0] = 1000
    quantizer = MinMax(Grid(4), (1,), start="percentile")
    quantizer.start(x)
    assert quantizer.scale.item() < 4 / 7
    quantizer.start(x, rule="minmax")
    assert quantizer.scale.item() == pytest.approx(1000 / 7)


@pytest.mark.parametrize("live", [True, False])
def test_nothing_is_learned(live):
    w = torch.randn(6, 16, requires_grad=True)
    quantizer = MinMax(Grid(4), (6, 1), live=live)
    assert not list(quantizer.parameters())
    assert not quantizer.scale_of(w).requires_grad
