from __future__ import annotations

import pytest
import torch

from stillbit.dynamics.dampen import Dampening, Form, dampening
from stillbit.dynamics.rounding import USUAL_SIZE
from stillbit.quantizers.granularity import spread
from tests.dynamics import small


def by_hand(latent, form: Form) -> torch.Tensor:
    """The paper's norm with autograd's own gradient, in each of the conventions."""
    scale = spread(latent.scale.detach(), latent.x.shape)
    low, high = latent.grid.edges
    squares = (latent.value().detach() - torch.minimum(torch.maximum(latent.x, low * scale), high * scale)).square()
    if form == "kernel_mean":
        return squares.flatten(1).mean(1).sum()
    return {"per_weight": squares.sum() / USUAL_SIZE, "mean": squares.mean(), "sum": squares.sum()}[form]


@pytest.mark.parametrize("form", ["per_weight", "kernel_mean", "mean", "sum"])
@pytest.mark.parametrize("method, bits", [("lsq", 2), ("lsq", 4), ("statsq", 2), ("statsq", 3), ("dorefa", 2)])
def test_value_and_gradient_are_those_of_the_formula(method: str, bits: int, form: Form) -> None:
    weight = (torch.randn(12, 20, dtype=torch.float64) * 0.1).requires_grad_()
    quantizer = small.quantizer(method, bits, (12, 1), weight.detach())
    ours, theirs = dampening(quantizer(weight), form), by_hand(quantizer(weight), form)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-15)
    found, wanted = (torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-15)


def test_neither_the_scale_nor_clipped_weights_are_moved_by_it() -> None:
    weight = torch.tensor([[-5.0, -0.4, 0.3, 5.0]], requires_grad=True)
    quantizer = small.quantizer("lsq", 2, (1, 1), torch.tensor([[-1.0, 0.0, 1.0]]))
    dampening(quantizer(weight)).backward()
    assert quantizer.scale.grad is None
    assert (weight.grad != 0).tolist() == [[False, True, True, False]]


def test_it_pulls_latents_to_the_middle_of_their_bins() -> None:
    model = small.vit(4)
    penalty = Dampening(model, form="sum")
    before, codes = penalty().item(), small.codes(model)
    optimizer = torch.optim.SGD([w.parameter for w in penalty.weights], lr=0.2)
    for _ in range(20):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert penalty().item() < 1e-3 * before
    assert all(torch.equal(now, codes[name]) for name, now in small.codes(model).items())


def test_a_model_without_low_bit_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="dampening is for weights of 1 to 4 bits, and this model has 8"):
        Dampening(small.vit(8))
