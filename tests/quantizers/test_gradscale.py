import pytest
import torch

from stillbit.quantizers import Grid, by_count, by_magnitude, per_channel, per_head
from stillbit.quantizers.gradscale import GRADSCALES, tame


@pytest.mark.parametrize("factor", [0.125, torch.tensor([0.5, 0.25, 2.0])], ids=["number", "one a block"])
def test_taming_changes_the_gradient_and_nothing_else(factor):
    scale = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    tamed = tame(scale, factor)
    assert torch.equal(tamed, scale)
    upstream = torch.tensor([1.0, -2.0, 4.0])
    tamed.backward(upstream)
    assert torch.equal(scale.grad, upstream * factor)


def test_by_count_is_the_rule_of_lsq():
    """1 / sqrt(N Qp): N weights, or the features of one sample, that share a scale."""
    weight = torch.randn(24, 40)
    assert by_count(weight, Grid(4), (1, 1)) == pytest.approx((960 * 7) ** -0.5, rel=1e-15)
    assert by_count(weight, Grid(4), (24, 1)) == pytest.approx((40 * 7) ** -0.5, rel=1e-15)
    assert by_count(weight, Grid(4), per_head.of_weight((24, 40), heads=6)) == pytest.approx(
        (160 * 7) ** -0.5, rel=1e-15
    )
    tokens = torch.randn(64, 197, 192)
    assert by_count(tokens, Grid(8, signed=False), (1,)) == pytest.approx((197 * 192 * 255) ** -0.5, rel=1e-15)


def test_by_magnitude_is_the_rule_of_vvtq():
    """1 / sqrt(Qp |w|_1), the norm inside the root and over what shares the scale."""
    weight = torch.randn(24, 40, dtype=torch.float64)
    ours = by_magnitude(weight, Grid(3), per_channel.of_weight(weight.shape))
    expected = [(3 * sum(abs(v) for v in row)) ** -0.5 for row in weight.tolist()]
    assert ours.flatten().tolist() == pytest.approx(expected, rel=1e-13)


def test_by_magnitude_asks_for_no_gradient():
    weight = torch.randn(4, 4, requires_grad=True)
    assert not by_magnitude(weight, Grid(3), (1, 1)).requires_grad


@pytest.mark.parametrize("grid", [Grid(1, offset=0.5), Grid(1, signed=False)], ids=str)
def test_a_grid_whose_highest_code_is_zero_counts_as_one(grid):
    x = torch.full((5,), 2.0)
    assert by_count(x, grid, (1,)) == pytest.approx(5**-0.5)
    assert by_magnitude(x, grid, (1,)).item() == pytest.approx(10**-0.5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_all_zero_tensors_have_a_finite_factor_that_float32_holds(dtype):
    factor = by_magnitude(torch.zeros(3, 4, dtype=dtype), Grid(4), (3, 1))
    assert factor.float().isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_norm_of_a_half_precision_tensor_is_summed_in_float32(dtype):
    x = torch.full((512, 512), 1.5, dtype=dtype)  # exact in both; the sum passes the largest half
    assert by_magnitude(x, Grid(2), (1, 1)).item() == pytest.approx((512 * 512 * 1.5) ** -0.5, rel=1e-6)


def test_the_rules_are_known_by_their_names():
    assert {"by_count": by_count, "by_magnitude": by_magnitude} == GRADSCALES
