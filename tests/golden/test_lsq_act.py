"""Activations against VVTQ's released `QuantAct` (with and without offset) and `QuantMultiHeadAct`."""

import pytest
import torch

from stillbit.quantizers import Grid, LSQPlus, by_count, snap
from stillbit.quantizers.calibrate import mean_magnitude
from stillbit.quantizers.gradscale import tame

CASES = [(kind, bits) for kind in ("s0", "s1", "u0", "u1") for bits in (2, 3, 4, 8)]
HEADS = [(sign, bits) for sign in "su" for bits in ("u2", "u3", "u4", "mixed")]


@pytest.fixture(params=("f64", "f32"))
def precision(request):
    return request.param


@pytest.fixture
def data(golden):
    return golden("lsq_act")


def leaves(data, kind, bits, precision):
    """Input, scale, shift (or None) and the released gradient scale of one case."""
    case = f"act/{kind}/b{bits}"
    x = data(f"act/x_{kind[0]}", precision).requires_grad_()
    scale = data(f"{case}/alpha", precision).reshape(1).requires_grad_()
    shift = data(f"{case}/beta", precision).reshape(1).requires_grad_() if kind[1] == "1" else None
    return x, scale, shift, data(f"{case}/{precision}/g").item()


@pytest.mark.parametrize(("kind", "bits"), CASES)
def test_values_and_gradients_are_the_authors(data, close, close_scale, precision, kind, bits):
    x, scale, shift, factor = leaves(data, kind, bits, precision)
    value = snap(x, tame(scale, factor), Grid(bits, signed=kind[0] == "s"), shift)
    value.backward(data("act/upstream", precision))
    case = f"act/{kind}/b{bits}/{precision}"
    close(value, data(f"{case}/y"), precision)
    close(x.grad, data(f"{case}/dx"), precision)
    close_scale(scale.grad, data(f"{case}/dalpha"), precision)
    if shift is not None:
        close_scale(shift.grad, data(f"{case}/dbeta"), precision, summed=data("act/upstream", precision))


@pytest.mark.parametrize(("kind", "bits"), [case for case in CASES if case[0][1] == "1"])
def test_the_module_with_a_learned_shift_is_the_authors(data, close, close_scale, precision, kind, bits):
    """As above through `LSQPlus`, whose gradient scale counts one sample and takes the root of Qp."""
    x, scale, shift, factor = leaves(data, kind, bits, precision)
    grid = Grid(bits, signed=kind[0] == "s")
    quantizer = LSQPlus(grid, (1,)).to(x.dtype)
    with torch.no_grad():
        quantizer.scale.copy_(scale)
        quantizer.shift.copy_(shift)
    value = quantizer(x).value()
    value.backward(data("act/upstream", precision))
    case = f"act/{kind}/b{bits}/{precision}"
    close(value, data(f"{case}/y"), precision)
    close(x.grad, data(f"{case}/dx"), precision)
    close_scale(quantizer.shift.grad, data(f"{case}/dbeta"), precision, summed=data("act/upstream", precision))
    close_scale(quantizer.scale.grad / by_count(x, grid, (1,)) * factor, data(f"{case}/dalpha"), precision)


@pytest.mark.parametrize(("kind", "bits"), CASES)
def test_the_released_gradient_scale_is_not_that_of_lsq(data, kind, bits):
    """It is 1 / (sqrt(numel) Qp), the batch included; LSQ's, which is built, is 1 / sqrt(N Qp) of one sample."""
    x, _, _, factor = leaves(data, kind, bits, "f64")
    grid = Grid(bits, signed=kind[0] == "s")
    assert factor == pytest.approx(1 / (x.numel() ** 0.5 * grid.high), rel=1e-12)
    assert by_count(x, grid, (1,)) == pytest.approx(factor * (len(x) * grid.high) ** 0.5, rel=1e-12)


@pytest.mark.parametrize(("kind", "bits"), CASES)
def test_mean_magnitude_is_the_released_start_with_the_right_qp(data, precision, kind, bits):
    """The released start takes the signed Qp even for unsigned tensors; ours takes that of the grid in use."""
    x = data(f"act/x_{kind[0]}", precision)
    theirs = data(f"act/{kind}/b{bits}/{precision}/init_alpha_table")[bits - 2]
    ours = mean_magnitude(x, Grid(bits), (1,)).scale.reshape(())
    torch.testing.assert_close(ours, theirs, rtol=1e-9 if precision == "f64" else 1e-6, atol=0)
    if kind[0] == "u":
        right = mean_magnitude(x, Grid(bits, signed=False), (1,)).scale.reshape(())
        ratio = (Grid(bits).high / Grid(bits, signed=False).high) ** 0.5
        torch.testing.assert_close(right, theirs * ratio, rtol=1e-9 if precision == "f64" else 1e-6, atol=0)


@pytest.mark.parametrize(("grid", "case"), [(Grid(2), "s2"), (Grid(2, False), "u2"), (Grid(3, False), "u3")])
def test_exact_ties_round_half_to_even_as_in_the_released_code(data, close, precision, grid, case):
    x, upstream = data("ties/x", precision).requires_grad_(), data("ties/upstream", precision)
    scale = torch.tensor([0.125], dtype=x.dtype, requires_grad=True)
    value = snap(x, scale, grid)
    close(value, data(f"ties/{case}/{precision}/y"), precision)
    # Its gradients are halved at an exact edge; equation 6, which includes the edges, is what is built.
    value.backward(upstream)
    steps = x.detach() / scale.detach()
    edge = (steps == grid.low) | (steps == grid.high)
    theirs = data(f"ties/{case}/{precision}/dx")
    assert edge.any()
    assert torch.equal(x.grad[~edge], theirs[~edge])
    assert torch.equal(x.grad[edge], upstream[edge])


@pytest.mark.parametrize(("sign", "bits"), HEADS)
def test_a_scale_a_head_is_the_authors(data, close, close_scale, precision, sign, bits):
    """The released heads share a table of scales by bit-width, so its gradients are summed over heads of equal bits."""
    case = f"mha/{sign}/{bits}"
    x, upstream = data(f"mha/x_{sign}", precision), data("mha/upstream", precision)
    factors = data(f"{case}/{precision}/g").to(x.dtype)
    table, widths = data(f"{case}/alpha_table", precision), data(f"{case}/bits").tolist()
    values, grads = torch.empty_like(x), torch.empty_like(x)
    gathered = torch.zeros(7, dtype=x.dtype)
    for width in set(widths):
        heads = [h for h, b in enumerate(widths) if b == width]
        part = x[:, heads].clone().requires_grad_()
        scale = table[width - 2].expand(len(heads), 1, 1).clone().requires_grad_()
        value = snap(part, tame(scale, factors[heads].reshape(-1, 1, 1)), Grid(width, signed=sign == "s"))
        value.backward(upstream[:, heads])
        values[:, heads], grads[:, heads] = value.detach(), part.grad
        gathered[width - 2] = scale.grad.sum()
    close(values, data(f"{case}/{precision}/y"), precision)
    close(grads, data(f"{case}/{precision}/dx"), precision)
    close_scale(gathered, data(f"{case}/{precision}/dalpha_table"), precision)
