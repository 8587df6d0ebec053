import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.quantizers import DoReFaActivation, DoReFaWeight, Grid


def dorefa(bits, blocks=(1,), **options):
    return DoReFaWeight(DoReFaWeight.grid_for(bits, True), blocks, **options)


def quantize(r, bits):
    """The paper's quantize_k: [0, 1] to the nearest of 2^k levels, straight-through."""
    n = 2**bits - 1
    return r + ((r * n).round() / n - r).detach()


@given(st.integers(1, 8), st.integers(0, 99))
def test_unsized_it_is_the_formula_of_the_paper(bits, number):
    """2 quantize_k(tanh(w) / (2 max|tanh w|) + 1/2) - 1, values and gradients, through the maximum too."""
    w = torch.randn(64, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
    upstream = torch.randn(64, generator=torch.Generator().manual_seed(number + 1), dtype=torch.float64)
    ours, theirs = w.clone().requires_grad_(), w.clone().requires_grad_()
    value = dorefa(bits, sized=False)(ours).value()
    squashed = theirs.tanh()
    expected = 2 * quantize(squashed / (2 * squashed.abs().max()) + 0.5, bits) - 1
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-15)
    value.backward(upstream)
    expected.backward(upstream)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("bits", range(1, 9))
def test_unsized_its_outermost_levels_are_minus_one_and_one(bits):
    w = torch.cat([torch.linspace(-2, 2, 999), torch.tensor([-2.0, 2.0])])
    value = dorefa(bits, sized=False)(w).value()
    assert value.unique().numel() == 2**bits
    assert value.min().item() == pytest.approx(-1, abs=1e-6) and value.max().item() == pytest.approx(1, abs=1e-6)


@given(st.integers(1, 8), st.integers(0, 99), st.sampled_from([0.02, 1.0, 5.0]))
def test_sized_what_is_snapped_keeps_the_mean_magnitude_of_every_block(bits, number, size):
    w = torch.randn(4, 64, generator=torch.Generator().manual_seed(number), dtype=torch.float64) * size
    latent = dorefa(bits, (4, 1))(w)
    torch.testing.assert_close(latent.x.abs().mean(1), w.abs().mean(1), rtol=1e-10, atol=0)


@given(st.integers(1, 8), st.integers(0, 99))
def test_nothing_lies_outside_its_range(bits, number):
    w = torch.randn(4, 64, generator=torch.Generator().manual_seed(number)) * 3
    latent = dorefa(bits, (4, 1))(w)
    assert (latent.x.abs() / latent.scale).max() <= latent.grid.edges[1] * (1 + 1e-6)


def test_small_weights_are_hardly_squashed():
    """tanh is straight at 0.02, so a pretrained layer at 8 bits is its own to half a step."""
    w = torch.randn(8, 64) * 0.02
    latent = dorefa(8, (8, 1))(w)
    assert ((latent.value() - w).abs() <= 0.6 * latent.scale).all()


def test_weights_ask_for_a_mid_rise_grid():
    with pytest.raises(ValueError, match=r"symmetric: write Grid\(3, signed=True, offset=0.5\)"):
        DoReFaWeight(Grid(3), (1,))
    assert DoReFaWeight.serves == {"weight"} and DoReFaActivation.serves == {"activation"}


@given(st.integers(1, 8), st.integers(0, 99))
def test_activations_are_clipped_to_the_unit_interval(bits, number):
    x = torch.randn(64, generator=torch.Generator().manual_seed(number)) * 2
    ours = x.clone().requires_grad_()
    value = DoReFaActivation(Grid(bits, signed=False), (1,))(ours).value()
    torch.testing.assert_close(value, quantize(x.clamp(0, 1), bits), rtol=1e-6, atol=1e-7)
    value.sum().backward()
    assert torch.equal(ours.grad, ((x >= 0) & (x <= 1)).float())


def test_activations_have_nothing_to_store():
    assert not DoReFaActivation(Grid(4, signed=False), (1,)).state_dict()
