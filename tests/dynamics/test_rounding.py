from __future__ import annotations

import torch

from stillbit.dynamics.rounding import rounding, with_gradient
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent
from tests.dynamics import small


def test_the_error_is_the_clipped_latent_less_its_value() -> None:
    for method, bits in (("lsq", 2), ("lsq", 4), ("statsq", 2), ("statsq", 3), ("dorefa", 3), ("sign", 1)):
        weight = torch.randn(6, 8, dtype=torch.float64)
        ready = small.quantizer(method, bits, (6, 1), weight)(weight)
        low, high = ready.grid.edges
        clipped = ready.x.clamp(low * ready.scale, high * ready.scale)
        at = rounding(ready)
        torch.testing.assert_close(at.error, (clipped - ready.value()).detach())
        torch.testing.assert_close(at.level, ready.code() + ready.grid.offset, check_dtype=False)
        assert torch.equal(at.inside, (ready.x >= low * ready.scale) & (ready.x <= high * ready.scale))
        assert not at.error.requires_grad


def test_the_edges_themselves_are_inside() -> None:
    at = rounding(Latent(torch.tensor([-2.0, -2.1, 1.0, 1.1]) * 0.5, Grid(2), torch.tensor([0.5])))
    assert at.inside.tolist() == [True, False, True, False]


def test_a_value_with_a_known_gradient_passes_both_on() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    value = with_gradient(x * 2, torch.tensor(7.0), torch.tensor([3.0, 5.0]))
    assert value.item() == 7
    (value * 10).backward()
    assert x.grad.tolist() == [60.0, 100.0]
