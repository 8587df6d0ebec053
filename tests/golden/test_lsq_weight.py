"""LSQ weights against VVTQ's released `QuantLinear` and `QuantConv2d`."""

import pytest
import torch
import torch.nn.functional as F

from stillbit.quantizers import Grid, Latent, by_count, by_magnitude
from stillbit.quantizers.gradscale import tame

PRECISIONS = ("f64", "f32")
CASES = [(bits, size) for bits in (2, 3, 4, 8) for size in ("mse", "small")]


@pytest.fixture(params=PRECISIONS)
def precision(request):
    return request.param


@pytest.fixture
def data(golden):
    return golden("lsq_weight")


def snapped(w, scale, factor, bits, precision):
    """The snapped weight, with leaves to read gradients from; ``factor`` is the released gradient scale."""
    w = w.clone().requires_grad_()
    scale = scale.to(w.dtype).reshape((1,) * w.dim()).requires_grad_()
    latent = Latent(w, Grid(bits), tame(scale, factor.item()))
    return w, scale, latent


@pytest.mark.parametrize(("bits", "size"), CASES)
def test_values_and_codes_are_the_authors(data, close, precision, bits, size):
    case = f"b{bits}/{size}"
    w, scale = data("w", precision), data(f"{case}/alpha", precision)
    _, _, latent = snapped(w, scale, data(f"{case}/{precision}/g"), bits, precision)
    close(latent.value(), data(f"{case}/{precision}/w_q"), precision)
    assert torch.equal(latent.code(), data(f"{case}/{precision}/w_int"))


@pytest.mark.parametrize(("bits", "size"), CASES)
def test_gradients_to_weight_and_scale_are_the_authors(data, close, close_scale, precision, bits, size):
    case = f"b{bits}/{size}"
    w, scale = data("w", precision), data(f"{case}/alpha", precision)
    w, scale, latent = snapped(w, scale, data(f"{case}/{precision}/g"), bits, precision)
    latent.value().backward(data("upstream", precision))
    close(w.grad, data(f"{case}/{precision}/dw"), precision)
    close_scale(scale.grad, data(f"{case}/{precision}/dalpha"), precision)


@pytest.mark.parametrize(("bits", "size"), CASES)
def test_the_small_scale_really_clips(data, bits, size):
    dw, upstream = data(f"b{bits}/{size}/f64/dw"), data("upstream", "f64")
    clipped = ((dw == 0) & (upstream != 0)).double().mean().item()
    # 0.45 of the best scale at 8 bits still holds 2 sigma; at 2 bits it clips most of the positive half.
    assert clipped > 0.04 if size == "small" else clipped < 0.2


@pytest.mark.parametrize(("bits", "size"), CASES)
def test_the_gradient_scale_of_the_paper_is_by_magnitude(data, bits, size):
    w = data("w", "f64")
    ours = by_magnitude(w, Grid(bits), (1, 1))
    torch.testing.assert_close(ours.reshape(()), data(f"b{bits}/{size}/f64/g"), rtol=1e-12, atol=0)


@pytest.mark.parametrize(("bits", "size"), CASES)
def test_a_linear_layer_of_snapped_weights_is_the_authors(data, close, close_scale, precision, bits, size):
    case = f"b{bits}/{size}"
    w, scale = data("w", precision), data(f"{case}/alpha", precision)
    w, scale, latent = snapped(w, scale, data(f"{case}/{precision}/g"), bits, precision)
    x = data("x", precision).requires_grad_()
    bias = data("bias", precision).requires_grad_()
    y = F.linear(x, latent.value(), bias)
    y.backward(data("gy", precision))
    close(y, data(f"{case}/{precision}/y"), precision)
    close(x.grad, data(f"{case}/{precision}/layer_dx"), precision)
    close(w.grad, data(f"{case}/{precision}/layer_dw"), precision)
    close(bias.grad, data(f"{case}/{precision}/layer_dbias"), precision)
    table = data(f"{case}/{precision}/layer_dalpha_table")  # a scale a bit-width; only that of `bits` learns
    close_scale(scale.grad, table[bits - 2], precision)
    assert table.count_nonzero() == 1


@pytest.mark.parametrize("bits", [3, 8])
def test_a_convolution_of_snapped_weights_is_the_authors(data, close, close_scale, precision, bits):
    case = f"conv/b{bits}/{precision}"
    w, scale = data("conv/w", precision), data("conv/alpha_mse_table", precision)[bits - 2]
    w, scale, latent = snapped(w, scale, by_magnitude(w, Grid(bits), (1, 1, 1, 1)), bits, precision)
    y = F.conv2d(data("conv/x", precision), latent.value(), stride=4)
    y.backward(data("conv/gy", precision))
    close(latent.value(), data(f"{case}/w_q"), precision)
    close(y, data(f"{case}/y"), precision)
    close(w.grad, data(f"{case}/dw"), precision)
    close_scale(scale.grad, data(f"{case}/dalpha"), precision)


@pytest.mark.parametrize("bits", [3, 8])
def test_the_other_path_of_the_released_convolution_counts_elements(data, close, close_scale, precision, bits):
    case = f"conv/b{bits}/{precision}"
    w, scale = data("conv/w", precision), data("conv/alpha_mse_table", precision)[bits - 2]
    factor = torch.tensor(by_count(w, Grid(bits), (1, 1, 1, 1)), dtype=torch.float64)
    w, scale, latent = snapped(w, scale, factor, bits, precision)
    latent.value().backward(data("conv/upstream", precision))
    close(w.grad, data(f"{case}/gqw_dw"), precision)
    close_scale(scale.grad, data(f"{case}/gqw_dalpha"), precision)


def test_exact_ties_round_half_to_even_as_in_the_released_code(data, close, precision):
    w = data("ties/w", precision)
    _, _, latent = snapped(w, data("ties/alpha", precision), torch.ones(()), 3, precision)
    close(latent.value(), data(f"ties/{precision}/w_q"), precision)


def test_exact_clip_edges_follow_equation_6_and_not_the_released_half(data, precision):
    """The released code halves the gradient at an exact edge (a tie of min and max); equation 6 includes the edges."""
    w, upstream = data("ties/w", precision), data("ties/upstream", precision)
    w, scale, latent = snapped(w, data("ties/alpha", precision), torch.ones(()), 3, precision)
    latent.value().backward(upstream)
    steps = (w / scale).detach()
    edge, inside = (steps == -4) | (steps == 3), (steps >= -4) & (steps <= 3)
    assert edge.sum() == 2
    theirs = data(f"ties/{precision}/dw")
    # Equal at the 15 ties that are no edge; the released edges had half of ours, up to one step of its own scale.
    assert torch.equal(w.grad[~edge], theirs[~edge])
    assert torch.equal(w.grad[edge], 2 * theirs[edge])
    assert torch.equal(w.grad, upstream * inside)
    # At the edge the rounding error is zero, so the scale gets what the inside gets there: nothing.
    code = steps.round().clamp(-4, 3)
    expected = (upstream * torch.where(inside, code - steps, code)).sum()
    assert torch.equal(scale.grad.reshape(()), expected)
