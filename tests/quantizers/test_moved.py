"""A pair of learnable shifts for each channel, against the formula in plain autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stillbit.layers.product import inner
from stillbit.quantizers import LSQ, PACT, Elastic, Grid, Latent, LSQPlus, Moved, Quantizer

SHAPES = {"tokens": ((2, 3, 5), (5,)), "heads": ((2, 4, 3, 5), (4, 1, 5)), "image": ((2, 5, 3, 3), (5, 1, 1))}
SCALES = {
    "tokens": [(1,), (5,), (3, 1)],
    "heads": [(1,), (4, 1, 1), (1, 3, 1), (4, 1, 5)],
    "image": [(1,), (5, 1, 1)],
}
CASES = [(kind, blocks) for kind, every in SCALES.items() for blocks in every]


def moved(quantizer: Quantizer, channels: tuple[int, ...], x: Tensor) -> Moved:
    """In double, started, everything a little off."""
    quantizer = Moved(quantizer, channels).double()
    quantizer.start(x)
    with torch.no_grad():
        for name, parameter in quantizer.named_parameters():
            if name.endswith("scale"):
                parameter.mul_(0.6)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return quantizer


def snapped(x: Tensor, scale: Tensor, grid: Grid, shift: Tensor | float = 0.0) -> Tensor:
    """Equation 6 in plain autograd: what rounds is detached."""
    steps = (x - shift) / scale
    level = steps.detach().round().clamp(grid.low, grid.high)
    held = steps.clamp(grid.low, grid.high)
    return (held + (level - held).detach()) * scale + shift


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(("kind", "blocks"), CASES)
def test_it_is_the_quantizer_of_what_was_moved_moved_again(kind: str, blocks: tuple[int, ...], shifted: bool) -> None:
    shape, channels = SHAPES[kind]
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    inside = LSQPlus(Grid(2, False), blocks) if shifted else LSQ(Grid(2), blocks)
    quantizer = moved(inside, channels, x.detach())
    upstream = torch.randn_like(x)
    value = quantizer(x).value()
    value.backward(upstream)
    found = [x.grad, *(p.grad for p in quantizer.parameters())]
    leaves = [t.detach().clone().requires_grad_() for t in (x, *quantizer.parameters())]
    again, before, after, scale, *shift = leaves
    factor = (x[0].numel() / scale.numel() * quantizer.grid.high) ** -0.5
    tamed = scale * factor + (scale * (1 - factor)).detach()
    plain = snapped(again + before, tamed, quantizer.grid, shift[0] if shift else 0.0) + after
    plain.backward(upstream)
    torch.testing.assert_close(value, plain, rtol=1e-12, atol=1e-12)
    for ours, leaf in zip(found, leaves, strict=True):
        torch.testing.assert_close(ours, leaf.grad, rtol=1e-11, atol=1e-11)


def test_the_move_after_has_gradient_one_and_the_move_before_that_of_the_input() -> None:
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    quantizer = moved(LSQ(Grid(2), (1,)), (3,), x.detach())
    quantizer(x).value().sum().backward()
    assert quantizer.after.grad.tolist() == [14.0] * 3
    assert torch.equal(quantizer.before.grad, x.grad.sum((0, 1)))
    assert (quantizer.before.grad < 14).any(), "something is clipped"


@pytest.mark.parametrize("inside", [PACT(Grid(3, False), (1,)), Elastic(Grid(1, False), (1,))], ids=repr)
def test_a_quantizer_that_clips_or_centres_by_itself_is_moved_as_well(inside: Quantizer) -> None:
    x = torch.randn(2, 7, 3, dtype=torch.float64, requires_grad=True)
    quantizer = moved(inside, (3,), x.detach())
    with torch.no_grad():
        expected = inside(x + quantizer.before).value() + quantizer.after
    value = quantizer(x).value()
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    value.sum().backward()
    torch.testing.assert_close(quantizer.after.grad, torch.full((3,), 14.0, dtype=torch.float64), rtol=1e-14, atol=0)


def test_it_begins_as_the_quantizer_inside() -> None:
    x = torch.randn(2, 5, 3)
    alone, inside = LSQ(Grid(3), (5, 1)), LSQ(Grid(3), (5, 1))
    quantizer = Moved(inside, (3,))
    assert not quantizer.is_started()
    alone.start(x), quantizer.start(x)
    assert quantizer.is_started() and quantizer.parts() == (inside,)
    assert torch.equal(quantizer(x).value(), alone(x).value())
    assert torch.equal(quantizer.scale_of(x), alone.scale_of(x))


def test_a_start_sees_what_the_quantizer_inside_will_see() -> None:
    x = torch.randn(500, 2)
    quantizer = Moved(LSQ(Grid(8), (2,)), (2,))
    with torch.no_grad():
        quantizer.before.copy_(torch.tensor([0.0, 100.0]))
    quantizer.start(x, "minmax")
    first, second = quantizer.inner.scale.tolist()
    assert second == pytest.approx((x[:, 1].max().item() + 100) / 127, rel=1e-5) and first < 0.1


def test_looked_through_it_lets_the_moved_float_pass() -> None:
    quantizer = Moved(LSQ(Grid(4), (1,)), (3,))
    with torch.no_grad():
        quantizer.before.fill_(1.0), quantizer.after.fill_(0.5)
    quantizer.inner.register_forward_hook(lambda q, args, ready: Latent(args[0]))
    x = torch.randn(2, 3)
    torch.testing.assert_close(quantizer(x).value(), x + 1.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_the_pair_stays_in_float32_and_the_tensor_keeps_its_type(dtype: torch.dtype) -> None:
    quantizer = Moved(LSQ(Grid(4), (1,)), (3,)).to(dtype)
    assert {p.dtype for p in quantizer.parameters()} == {torch.float32}
    assert quantizer(torch.randn(2, 3, dtype=dtype)).value().dtype == dtype


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_moves_fold_into_the_bias_of_a_product(heads: int, both: bool) -> None:
    """Also where the columns of the weight have a scale a head, so that the product is cut into pieces."""
    x = torch.randn(2, 4, 12, dtype=torch.float64)
    weight = torch.randn(7, 12, dtype=torch.float64, requires_grad=True)
    quantizer = moved(LSQ(Grid(3), (4, 1) if both else (1,)), (12,), x)
    columns = LSQ(Grid(3), (1, heads)).double()
    columns.start(weight.detach())
    bias = torch.randn(7, dtype=torch.float64, requires_grad=True)
    leaf = x.clone().requires_grad_()
    every = [leaf, weight, bias, *quantizer.parameters(), *columns.parameters()]
    upstream = torch.randn(2, 4, 7, dtype=torch.float64)
    on_codes = inner(quantizer(leaf), columns(weight), bias)
    plain = quantizer(leaf).value() @ columns(weight).value().mT + bias
    torch.testing.assert_close(on_codes, plain, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(*(torch.autograd.grad(y, every, upstream) for y in (on_codes, plain)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)


CUTS = ((1,), (1, 5, 1), (3, 1, 4))


def test_moves_of_both_sides_fold_in_the_products_of_attention() -> None:
    shape = (2, 3, 5, 4)
    sides = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    q, k, v = (moved(LSQ(Grid(3), blocks), (3, 1, 4), s.detach()) for s, blocks in zip(sides, CUTS, strict=True))
    p = LSQ(Grid(3, False), (1,)).double()
    scores = inner(q(sides[0]), k(sides[1]))
    torch.testing.assert_close(scores, q(sides[0]).value() @ k(sides[1]).value().mT, rtol=1e-12, atol=1e-12)
    mixed = inner(p(scores.softmax(-1)), v(sides[2]).mT)
    plain = p(scores.softmax(-1)).value() @ v(sides[2]).value()
    torch.testing.assert_close(mixed, plain, rtol=1e-12, atol=1e-12)
    every = [*sides, *(t for quantizer in (q, k, v, p) for t in quantizer.parameters())]
    upstream = torch.randn_like(mixed)
    for ours, theirs in zip(
        *(torch.autograd.grad(y, every, upstream, retain_graph=True) for y in (mixed, plain)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)


def test_its_words_say_how_many_pairs_and_what_is_inside() -> None:
    assert "pairs=3x1x4" in repr(Moved(LSQ(Grid(3), (1,)), (3, 1, 4))) and "bits=3" in repr(
        Moved(LSQ(Grid(3), (1,)), (1,))
    )
