"""The bin penalty against a loop that does what equation 9 says, bin by bin."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from stillbit.dynamics.bins import FEWEST, BinPenalty, Form, bin_loss
from stillbit.dynamics.rounding import USUAL_SIZE
from stillbit.quantizers.granularity import gather, spread
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.snap import Latent
from tests.dynamics import small


def by_loops(latent: Latent, form: Form) -> Tensor:
    """Module by module and bin by bin, with autograd's own gradients."""
    grid, scale = latent.grid, latent.scale.detach()
    low, high = grid.edges
    clipped = torch.clamp(latent.x / spread(scale, latent.x.shape), low, high) * spread(scale, latent.x.shape)
    blocks = tuple(scale.shape)
    rows, values, codes = (gather(t, blocks) for t in (clipped, latent.value().detach(), latent.code()))
    total = clipped.new_zeros(())
    for row, value, code in zip(rows, values, codes, strict=True):
        squares = (row - value).square()
        total = total + (squares.mean() if form == "mean" else squares.sum())
        for n in range(grid.low, grid.high + 1):
            inside = row[code == n]
            if len(inside) >= FEWEST:
                weight = len(inside) * grid.levels if form == "per_weight" else 1
                total = total + weight * inside.var(correction=1)
    return total / USUAL_SIZE if form == "per_weight" else total


CASES = [("lsq", 2), ("lsq", 3), ("lsq", 8), ("statsq", 2), ("statsq", 3), ("dorefa", 2), ("sign", 1), ("minmax", 4)]


@pytest.mark.parametrize("form", ["per_weight", "mean", "sum"])
@pytest.mark.parametrize("blocks", [(1, 1), (12, 1), (3, 1), (1, 4), (12, 4)])
@pytest.mark.parametrize("method, bits", CASES)
def test_value_and_gradient_are_those_of_the_loops(method: str, bits: int, blocks: tuple[int, int], form: Form) -> None:
    weight = (torch.randn(12, 20, dtype=torch.float64) * 0.1).requires_grad_()
    quantizer = small.quantizer(method, bits, blocks, weight.detach())
    ours, theirs = bin_loss(quantizer(weight), form), by_loops(quantizer(weight), form)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-14)
    found, wanted = (torch.autograd.grad(loss, weight)[0] for loss in (ours, theirs))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-14)
    assert found.abs().max() > 0 or (method == "sign" and blocks == (12, 4))


def test_the_gradient_is_that_of_finite_differences_inside_the_bins() -> None:
    weight = torch.tensor([0.1, 0.2, 0.35, -0.1, 0.9, 1.1, 1.2, 3.0], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor([1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: bin_loss(Latent(x, Grid(2), scale), "sum"), weight)


def test_the_scale_stands_still() -> None:
    weight = torch.randn(6, 8).requires_grad_()
    quantizer = small.quantizer("lsq", 2, (6, 1), weight.detach())
    bin_loss(quantizer(weight)).backward()
    assert weight.grad is not None and quantizer.scale.grad is None


def test_bins_of_two_have_no_variance_and_bins_of_three_have_the_unbiased_one() -> None:
    scale = torch.tensor([1.0])
    two = bin_loss(Latent(torch.tensor([-0.2, 0.2]), Grid(2), scale), "sum")
    three = bin_loss(Latent(torch.tensor([-0.2, 0.0, 0.2]), Grid(2), scale), "sum")
    assert two.item() == pytest.approx(0.08) and three.item() == pytest.approx(0.08 + 0.04)


@given(st.integers(2, 60), st.integers(2, 8), st.sampled_from(["per_weight", "mean", "sum"]))
def test_weights_in_the_middle_of_their_bins_cost_nothing(count: int, bits: int, form: Form) -> None:
    codes = torch.randint(-(2 ** (bits - 1)), 2 ** (bits - 1), (count,)).double()
    weight = (codes * 0.25).requires_grad_()
    loss = bin_loss(Latent(weight, Grid(bits), torch.tensor([0.25], dtype=torch.float64)), form)
    loss.backward()
    assert loss.item() == 0 and not weight.grad.any()


def pull(rows: int, form: Form) -> float:
    """The mean size of the gradient in a layer of so many rows, all of one distribution."""
    weight = (torch.randn(rows, 64, generator=torch.Generator().manual_seed(0)) * 0.02).requires_grad_()
    quantizer = small.quantizer("lsq", 3, (1, 1), weight.detach())
    bin_loss(quantizer(weight), form).backward()
    return weight.grad.abs().mean().item()


def test_the_pull_on_a_weight_does_not_depend_on_the_size_of_its_layer_unless_the_mean_is_asked_for() -> None:
    assert pull(640, "per_weight") == pytest.approx(pull(64, "per_weight"), rel=0.1)
    assert pull(640, "mean") == pytest.approx(pull(64, "mean") / 10, rel=0.1)


def test_in_a_layer_of_the_usual_size_with_full_bins_the_strength_is_the_published_one() -> None:
    codes = torch.arange(-2, 2).repeat(USUAL_SIZE // 4).double()
    weight = codes + 0.2 * torch.randn(USUAL_SIZE, dtype=torch.float64).clamp(-2, 2)
    scale = torch.ones(1, dtype=torch.float64)
    losses = [bin_loss(Latent(weight, Grid(2), scale), form).item() for form in ("per_weight", "mean")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_block_of_its_own_is_a_module_of_its_own() -> None:
    weight = torch.randn(4, 50, dtype=torch.float64)
    scale = torch.rand(4, 1, dtype=torch.float64) + 0.2
    for form in ("per_weight", "mean", "sum"):
        apart = sum(bin_loss(Latent(w[None], Grid(3), s[None]), form) for w, s in zip(weight, scale, strict=True))
        torch.testing.assert_close(bin_loss(Latent(weight, Grid(3), scale), form), apart)


def test_the_penalty_adds_up_the_layers_of_two_and_three_bits() -> None:
    model = small.vit(3)
    penalty = BinPenalty(model)
    wanted = sum(bin_loss(w.latent()) for w in small.low(model).values())
    torch.testing.assert_close(penalty(), wanted)
    penalty().backward()
    assert all(w.parameter.grad is not None for w in small.low(model).values())
    assert model.head.weight.grad is None and model.patch_embed.proj.weight.grad is None


def test_a_model_without_two_or_three_bit_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="the bin penalty is for weights of 2 or 3 bits, and this model has 4 and 8"):
        BinPenalty(small.vit(4))
    assert BinPenalty(small.vit(4), bits=(4,))().item() > 0


def test_training_under_the_penalty_tightens_bins() -> None:
    model = small.vit(2)
    penalty = BinPenalty(model, form="sum")
    before = penalty().item()
    optimizer = torch.optim.SGD([w.parameter for w in penalty.weights], lr=0.02)
    for _ in range(20):
        optimizer.zero_grad()
        penalty().backward()
        optimizer.step()
    assert penalty().item() < 0.5 * before
