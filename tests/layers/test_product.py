"""The product on codes: which path is taken, what is kept for the backward pass, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stillbit.layers import product
from stillbit.layers.product import Convolution, Matmul, convolution, inner
from stillbit.quantizers import Grid, Latent


def latent(*shape: int, scale: tuple[int, ...] = (1,), bits: int = 4, **more: Any) -> Latent:
    return Latent(torch.randn(shape), Grid(bits), torch.rand(scale) * 0.3 + 0.2, **more)


@pytest.fixture
def raw_products(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, Tensor]]:
    """The operands of every product, as they are multiplied."""
    seen: list[tuple[Tensor, Tensor]] = []
    for kind in (Matmul, Convolution):
        plain = kind.raw

        def note(self: Any, a: Tensor, b: Tensor, bias: Tensor | None = None, plain: Any = plain) -> Tensor:
            seen.append((a, b))
            return plain(self, a, b) if bias is None else plain(self, a, b, bias)

        monkeypatch.setattr(kind, "raw", note)
    return seen


def integers(t: Tensor) -> bool:
    return torch.equal(t, t.round())


@pytest.mark.parametrize(
    ("a", "b", "pieces"),
    [((1,), (1, 1), 1), ((1,), (6, 1), 1), ((5, 1), (6, 1), 1), ((1,), (6, 3), 3), ((3,), (6, 3), 3)],
)
def test_what_is_multiplied_are_integers(
    a: tuple[int, ...], b: tuple[int, ...], pieces: int, raw_products: list[tuple[Tensor, Tensor]]
) -> None:
    inner(latent(2, 5, 12, scale=a), latent(6, 12, scale=b))
    assert len(raw_products) == pieces
    assert all(integers(left) and integers(right) for left, right in raw_products)


def test_the_levels_of_a_mid_rise_grid_are_half_integers(raw_products: list[tuple[Tensor, Tensor]]) -> None:
    b = Latent(torch.randn(6, 12), Grid(2, signed=True, offset=0.5), torch.ones(1))
    inner(latent(5, 12), b)
    ((_, right),) = raw_products
    assert set(right.unique().tolist()) <= {-1.5, -0.5, 0.5, 1.5}


@pytest.mark.parametrize("scale", [(12,), (6,)])
def test_where_scales_disagree_along_the_sum_values_are_multiplied(
    scale: tuple[int, ...], raw_products: list[tuple[Tensor, Tensor]]
) -> None:
    """Scales by element on one side, or blocks of different size on both: no sum of integers exists."""
    a, b = latent(5, 12, scale=scale), latent(6, 12, scale=(6, 4))
    torch.testing.assert_close(inner(a, b), a.value() @ b.value().mT)
    assert not raw_products


def test_an_image_padded_with_a_shift_is_multiplied_as_integers_all_the_same(
    raw_products: list[tuple[Tensor, Tensor]],
) -> None:
    image = latent(1, 2, 5, 5, shift=torch.tensor([0.3]))
    convolution(image, latent(3, 2, 3, 3, scale=(3, 1, 1, 1)), None, Convolution(padding=(1, 1)))
    left, right = raw_products[0]
    assert integers(left) and integers(right)


def test_two_float_tensors_are_multiplied_as_torch_does() -> None:
    x, w, bias = torch.randn(2, 5, 12), torch.randn(6, 12), torch.randn(6)
    assert torch.equal(inner(Latent(x), Latent(w), bias), F.linear(x, w, bias))
    k = torch.randn(2, 7, 12)
    assert torch.equal(inner(Latent(x), Latent(k)), x @ k.mT)
    image, kernel = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    assert torch.equal(convolution(Latent(image), Latent(kernel), None, Convolution()), F.conv2d(image, kernel))


def test_the_backward_pass_keeps_its_float_inputs_and_nothing_else() -> None:
    """Codes are recomputed: memory is that of the float layer, which keeps the same two tensors."""
    a, b = latent(2, 5, 12), latent(6, 12, scale=(6, 1))
    kept: list[Tensor] = []

    def keep(t: Tensor) -> Tensor:
        kept.append(t)
        return t

    for tensor in (a.x, b.x, a.scale, b.scale):
        assert tensor is not None
        tensor.requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        inner(a, b, torch.randn(6, requires_grad=True))
    large = {t.data_ptr() for t in kept if t.numel() > 12}
    assert large == {a.x.data_ptr(), b.x.data_ptr()}


def test_inputs_and_incoming_gradients_are_not_overwritten() -> None:
    a, b = latent(2, 5, 12), latent(6, 12, scale=(6, 1))
    a.x.requires_grad_(), b.x.requires_grad_()
    copies = a.x.detach().clone(), b.x.detach().clone()
    upstream = torch.randn(2, 5, 6)
    before = upstream.clone()
    inner(a, b).backward(upstream)
    assert torch.equal(a.x, copies[0]) and torch.equal(b.x, copies[1]) and torch.equal(upstream, before)


def test_two_backward_passes_through_one_product_add_up() -> None:
    a, b = latent(2, 5, 12), latent(6, 12, scale=(6, 1))
    b.x.requires_grad_()
    y = inner(a, b)
    y.sum().backward(retain_graph=True)
    once = b.x.grad.clone() if b.x.grad is not None else torch.zeros(0)
    y.sum().backward()
    assert b.x.grad is not None
    torch.testing.assert_close(b.x.grad, 2 * once)


def test_what_needs_no_gradient_gets_none_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = latent(2, 5, 12), latent(6, 12, scale=(6, 1))
    b.x.requires_grad_()
    monkeypatch.setattr(Matmul, "grad_a", lambda *_: pytest.fail("the input wants no gradient"))
    inner(a, b).sum().backward()
    assert b.x.grad is not None


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_a_convolution_are_those_of_torch(groups: int) -> None:
    how = Convolution((2, 1), (1, 0), (1, 2), groups)
    image = torch.randn(2, 4, 9, 9, dtype=torch.float64, requires_grad=True)
    kernel = torch.randn(6, 4 // groups, 3, 3, dtype=torch.float64, requires_grad=True)
    y = how.raw(image, kernel)
    upstream = torch.randn_like(y)
    wanted = torch.autograd.grad(y, [image, kernel], upstream)
    image, kernel = image.detach(), kernel.detach()
    torch.testing.assert_close(how.grad_a(upstream, image, kernel), wanted[0])
    torch.testing.assert_close(how.grad_b(upstream, image, kernel), wanted[1])


def test_a_second_derivative_is_refused_and_not_wrong() -> None:
    """The backward pass treats codes as constants: differentiated once more, the terms between a and b were missing."""
    a, b = latent(5, 12), latent(6, 12)
    a.x.requires_grad_(), b.x.requires_grad_()
    with pytest.raises(RuntimeError):
        first = torch.autograd.grad(inner(a, b).square().sum(), [a.x, b.x], create_graph=True)
        torch.autograd.grad(sum(g.square().sum() for g in first), [a.x, b.x])


def test_weights_of_a_bfloat16_model_keep_float32_scales_in_the_product() -> None:
    a, b = latent(5, 12), latent(6, 12, scale=(6, 1))
    y = inner(a._replace(x=a.x.bfloat16()), b._replace(x=b.x.bfloat16()))
    assert y.dtype == torch.bfloat16
    exact = inner(a._replace(x=a.x.bfloat16().float()), b._replace(x=b.x.bfloat16().float()))
    # Small sums of codes are exact in bfloat16: the one rounding is that of the result.
    assert ((y - exact).abs() <= 2**-8 * exact.abs()).all()


def test_the_type_of_a_product_follows_autocast() -> None:
    a, b = latent(5, 12), latent(6, 12)
    assert inner(a, b).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert inner(a, b).dtype == torch.bfloat16
        assert inner(a._replace(x=a.x.double()), b._replace(x=b.x.double())).dtype == torch.float64
    assert product._compute_dtype(torch.zeros(1, device="meta")) == torch.float32
