import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.quantizers import Elastic, Grid, Sign

SIGNED, UNSIGNED = Grid(1, offset=0.5), Grid(1, signed=False)


def elastic(grid, alpha, beta, dtype=torch.float64):
    quantizer = Elastic(grid, (1,)).to(dtype)
    with torch.no_grad():
        quantizer.scale.fill_(2 * alpha if grid.signed else alpha)
        quantizer.threshold.fill_(beta)
    return quantizer


def numbers(seed, shape=(64,)):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 99), st.floats(0.1, 4), st.floats(-1, 1))
def test_a_signed_bit_is_alpha_times_the_sign_past_the_threshold(seed, alpha, beta):
    x = numbers(seed)
    value = elastic(SIGNED, alpha, beta)(x).value()
    torch.testing.assert_close(value, alpha * torch.where(x >= beta, 1, -1).double(), rtol=1e-12, atol=0)


@given(st.integers(0, 99), st.floats(0.1, 4), st.floats(-1, 1))
def test_an_unsigned_bit_is_alpha_from_half_of_alpha_past_the_threshold(seed, alpha, beta):
    x = numbers(seed)
    value = elastic(UNSIGNED, alpha, beta)(x).value()
    torch.testing.assert_close(value, alpha * ((x - beta) / alpha).clamp(0, 1).round(), rtol=1e-12, atol=0)


def test_the_threshold_is_not_added_back():
    value = elastic(SIGNED, 1.0, 5.0)(torch.tensor([4.0, 6.0], dtype=torch.float64)).value()
    assert value.tolist() == [-1, 1]


@pytest.mark.parametrize(("grid", "edges"), [(SIGNED, (-1.0, 1.0)), (UNSIGNED, (0.0, 1.0))], ids=["signed", "unsigned"])
def test_its_gradients_are_those_of_the_paper(grid, edges):
    """To x inside the range; to the threshold the opposite of that; to alpha the sign, or of {0, 1} what LSQ has."""
    alpha, beta = 0.8, 0.3
    x, upstream = numbers(3, (256,)) * 2, numbers(4, (256,))
    quantizer = elastic(grid, alpha, beta)
    leaf = x.clone().requires_grad_()
    quantizer(leaf).value().backward(upstream)
    steps = (x - beta) / alpha
    inside = (steps >= edges[0]) & (steps <= edges[1])
    assert 0.05 < inside.double().mean() < 0.95
    assert torch.equal(leaf.grad, upstream * inside)
    torch.testing.assert_close(quantizer.threshold.grad, -(upstream * inside).sum().reshape(1), rtol=1e-10, atol=1e-12)
    level = torch.where(steps >= 0, 1.0, -1.0) if grid.signed else steps.clamp(0, 1).round()
    to_alpha = (upstream * (level if grid.signed else torch.where(inside, level - steps, level))).sum()
    # scale = 2 alpha on the signed grid, and LSQ's gradient scale counts 256 elements.
    ours = quantizer.scale.grad * (2 if grid.signed else 1) * 256**0.5
    torch.testing.assert_close(ours.reshape(()), to_alpha, rtol=1e-10, atol=1e-12)


def test_the_gradient_to_the_size_of_a_sign_is_the_true_derivative():
    """Nothing is estimated: no code changes when alpha does."""
    x, upstream = numbers(5, (64,)), numbers(6, (64,))
    quantizer = elastic(SIGNED, 0.7, 0.2)
    quantizer(x).value().backward(upstream)
    with torch.no_grad():
        sums = [(elastic(SIGNED, alpha, 0.2)(x).value() * upstream).sum() for alpha in (0.7 - 1e-6, 0.7 + 1e-6)]
    slope = (sums[1] - sums[0]) / 2e-6
    torch.testing.assert_close(quantizer.scale.grad[0] * 2 * 64**0.5, slope, rtol=1e-7, atol=0)


@pytest.mark.parametrize(("grid", "multiple"), [(SIGNED, 2), (UNSIGNED, 4)], ids=["signed", "unsigned"])
def test_bits_start_is_two_or_four_times_the_mean_magnitude(grid, multiple):
    x = numbers(0, (4, 50)).float()
    quantizer = Elastic(grid, (1,))
    with torch.no_grad():
        quantizer.threshold.fill_(3)
    quantizer.start(x)
    alpha = quantizer.scale / 2 if grid.signed else quantizer.scale
    assert alpha.item() == pytest.approx(multiple * x.abs().mean().item(), rel=1e-6)
    assert quantizer.threshold.item() == 0


def test_another_start_is_taken_as_it_is():
    """{-1, 1} of least squared error is the mean magnitude."""
    x = numbers(0, (4000,)).float()
    quantizer = Elastic(SIGNED, (1,))
    quantizer.start(x, rule="mse")
    assert quantizer.scale.item() / 2 == pytest.approx(x.abs().mean().item(), rel=1e-4)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_more_bits_are_refused_with_what_to_use(bits):
    with pytest.raises(ValueError, match=f"elastic binarization has one bit, got {bits}: write bits=1, or use lsq"):
        Elastic(Grid(bits), (1,))
    with pytest.raises(ValueError, match=f"a sign has one bit, got {bits}: write bits=1, or use lsq or statsq"):
        Sign(Grid(bits), (1,))


@given(st.integers(0, 99))
def test_a_sign_is_that_of_the_centred_weight_times_the_mean_magnitude(seed):
    w = numbers(seed, (4, 32)) + 0.3
    value = Sign(SIGNED, (4, 1))(w).value()
    expected = (w - w.mean(1, keepdim=True)).sign() * w.abs().mean(1, keepdim=True)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)


@given(st.integers(0, 99))
def test_a_plain_sign_does_not_move_the_weight(seed):
    w = numbers(seed, (4, 32)) + 0.3
    value = Sign(SIGNED, (4, 1), centred=False)(w).value()
    torch.testing.assert_close(value, w.sign() * w.abs().mean(1, keepdim=True), rtol=1e-12, atol=0)


@pytest.mark.parametrize("centred", [True, False])
def test_a_sign_is_straight_through_everywhere(centred):
    w, upstream = numbers(1, (4, 32)).requires_grad_(), numbers(2, (4, 32)) + 1
    Sign(SIGNED, (4, 1), centred=centred)(w).value().backward(upstream)
    assert torch.equal(w.grad, upstream)


@pytest.mark.parametrize("centred", [True, False])
def test_a_clipped_sign_lets_the_gradient_through_between_its_levels(centred):
    w, upstream = (numbers(1, (4, 32)) + 0.2).requires_grad_(), numbers(2, (4, 32)) + 1
    Sign(SIGNED, (4, 1), centred=centred, ste="clipped")(w).value().backward(upstream)
    for row in range(4):
        one = w[row].detach()
        inside = (one - (one.mean() if centred else 0)).abs() <= one.abs().mean()
        assert torch.equal(w.grad[row], upstream[row] * inside) and 5 < inside.sum() < 30


def test_a_way_through_that_is_none_is_refused():
    with pytest.raises(ValueError, match="unknown ste 'tanh': use one of identity, clipped"):
        Sign(SIGNED, (1,), ste="tanh")


def test_a_centred_sign_splits_a_block_in_halves():
    w = torch.arange(100.0) + 7
    assert Sign(SIGNED, (1,))(w).code().unique(return_counts=True)[1].tolist() == [50, 50]


def test_who_they_serve():
    assert Elastic.serves == {"activation"} and Sign.serves == {"weight"}
