"""StatsQ against OFQ's released `StatsQuantizer`, at the widths where that is right."""

import pytest
import torch

from stillbit.quantizers import Grid, StatsQ

# Which axis keeps its own scale: rows of a weight; the middle axis of a merged query-key weight; tokens.
BLOCKS = {"2d": (24, 1), "3d": (16, 1), "4d": (8, 1)}


@pytest.fixture(params=("f64", "f32"))
def precision(request):
    return request.param


@pytest.fixture
def data(golden):
    return golden("statsq")


def quantizer(shape, bits):
    return StatsQ(Grid(bits, offset=0.5), BLOCKS[shape])


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_values_codes_and_gradients_are_the_authors(data, close, precision, shape, bits):
    w = data(f"{shape}/w", precision).requires_grad_()
    upstream = data(f"{shape}/upstream", precision)
    latent = quantizer(shape, bits)(w)
    value = latent.value()
    value.backward(upstream)
    case = f"{shape}/b{bits}"
    close(value, data(f"{case}/{precision}/y"), precision)
    assert torch.equal(latent.code(), data(f"{case}/code"))
    # Straight-through everywhere, so there is nothing to round: the gradient is the upstream itself.
    assert torch.equal(w.grad, data(f"{case}/{precision}/dw"))
    assert torch.equal(w.grad, upstream)


@pytest.mark.parametrize("shape", BLOCKS)
@pytest.mark.parametrize("bits", [1, 2, 3, 4, 8])
def test_the_scale_is_the_authors(data, close, precision, shape, bits):
    scale = quantizer(shape, bits).scale_of(data(f"{shape}/w", precision))
    close(scale.reshape(-1) * 2 ** (bits - 1), data(f"{shape}/{precision}/s"), precision)


@pytest.mark.parametrize("shape", BLOCKS)
def test_one_bit_has_two_levels_where_the_released_code_has_three(data, close, precision, shape):
    """The released code rounds -1.5 to -2 at the clip, a third level of -1.5 alpha; the paper's formula has two."""
    w = data(f"{shape}/w", precision)
    latent = quantizer(shape, 1)(w)
    assert data(f"{shape}/b1/code").unique().tolist() == [-2, -1, 0]
    assert latent.code().unique().tolist() == [-1, 0]
    assert torch.equal(latent.code() >= 0, w >= 0)
    theirs = data(f"{shape}/b1/{precision}/y")
    right = data(f"{shape}/b1/code") > -2
    close(latent.value()[right], theirs[right], precision)
