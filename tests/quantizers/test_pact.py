import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.quantizers import PACT, Grid


def pact(bits, top, signed=False, dtype=torch.float32):
    quantizer = PACT(PACT.grid_for(bits, signed), (1,))
    with torch.no_grad():
        quantizer.level.fill_(top)
    return quantizer.to(dtype)


def level(quantizer):
    """The clip level as the forward pass has it."""
    return quantizer.level.detach()


@given(st.integers(1, 8), st.floats(0.01, 10), st.booleans())
def test_the_gradient_to_the_level_is_one_at_and_above_it_and_zero_below(bits, top, signed):
    """For every scale: level / scale is not always the highest code in float32, and must not clip again."""
    quantizer = pact(bits, top, signed)
    top = level(quantizer).item()  # as float32 has it
    x = torch.tensor([top, top * 1.0001, top * 3, top * 0.9999, top / 2, 0.0])
    each = [torch.autograd.grad(v, quantizer.level, retain_graph=True)[0].item() for v in quantizer(x).value()]
    assert each == [1, 1, 1, 0, 0, 0]


@given(st.integers(1, 8), st.floats(0.01, 10))
def test_the_gradient_to_x_passes_from_zero_to_below_the_level(bits, top):
    quantizer = pact(bits, top)
    top = level(quantizer).item()
    x = torch.tensor([-1.0, -1e-6, 0.0, top / 2, top * 0.9999, top, top * 2], requires_grad=True)
    quantizer(x).value().sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 0, 0]


@given(st.integers(1, 8), st.floats(0.01, 10))
def test_a_signed_range_is_clipped_alike_on_both_sides(bits, top):
    quantizer = pact(bits, top, signed=True)
    x = torch.randn(256, generator=torch.Generator().manual_seed(0)) * 3 * level(quantizer)
    x = x[x != 0].requires_grad_()
    value, mirrored = quantizer(x).value(), quantizer(-x).value()
    if bits > 1:  # one bit has no zero: what rounds there goes up from both sides
        assert torch.equal(value, -mirrored)
    value.sum().backward()
    top = level(quantizer)
    assert torch.equal(x.grad, ((x > -top) & (x < top)).float())
    assert value.abs().max() <= top * (1 + 2e-7)


@given(st.integers(1, 8), st.integers(0, 99))
def test_it_is_the_formula_of_the_paper(bits, number):
    """round(clip(x, 0, level) (2^k - 1) / level) level / (2^k - 1), in double."""
    quantizer = pact(bits, 0.3, dtype=torch.float64)
    x = torch.randn(64, generator=torch.Generator().manual_seed(number), dtype=torch.float64) * 2
    top, steps = level(quantizer), 2**bits - 1
    expected = (x.clamp(torch.zeros(1), top) * steps / top).round() * top / steps
    torch.testing.assert_close(quantizer(x).value(), expected, rtol=1e-12, atol=1e-15)


def test_one_signed_bit_has_both_its_levels():
    assert pact(1, 0.5, signed=True)(torch.tensor([-2.0, -0.1, 0.1, 2.0])).code().tolist() == [-1, -1, 0, 0]


def test_in_bf16_the_level_still_gets_its_gradient():
    for top in torch.linspace(1.0, 2.0, 50).tolist():
        quantizer = pact(4, top)
        quantizer(torch.full((4,), 100.0, dtype=torch.bfloat16)).value().sum().backward()
        assert quantizer.level.grad.item() == 4


def test_it_is_for_activations():
    assert PACT.serves == {"activation"}
    assert PACT.grid_for(4, signed=False) == Grid(4, signed=False)
