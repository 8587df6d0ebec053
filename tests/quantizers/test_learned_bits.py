"""Bits that learn, against a loop over elements in float64."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from stillbit.layers.product import inner
from stillbit.quantizers import LSQ, Grid, LearnedBits
from stillbit.quantizers.learned_bits import WIDTHS

ROWS, COLUMNS = 6, 8
BLOCKS = [(1, 1), (3, 1), (1, 2)]


def quantizer_of(blocks: tuple[int, ...], signed: bool, bits: list[float], x: Tensor) -> LearnedBits:
    """In double, started, its scales a little small, its bits as given."""
    quantizer = LearnedBits(Grid(4, signed), blocks).double()
    quantizer.start(x, "minmax")
    with torch.no_grad():
        quantizer.scale.mul_(0.6)
        quantizer.bits.copy_(torch.tensor(bits[: quantizer.bits.numel()]).reshape(blocks))
    return quantizer


def by_loop(quantizer: LearnedBits, x: Tensor, upstream: Tensor) -> tuple[Tensor, ...]:
    """Value, and the gradients to x, bits and scale, an element at a time; LSQ's factor on the gradient of a scale."""
    blocks, signed = quantizer.blocks, quantizer.grid.signed
    value, to_x = torch.zeros_like(x), torch.zeros_like(x)
    to_bits, to_scale = torch.zeros(blocks, dtype=torch.float64), torch.zeros_like(quantizer.scale)
    for r, c in product(range(ROWS), range(COLUMNS)):
        place = (r * blocks[0] // ROWS, c * blocks[1] // COLUMNS)
        bits = min(max(round(quantizer.bits[place].item()), 2), 8)
        s = abs(quantizer.scale[bits - 2][place].item())
        low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        slope = math.log(2) * 2 ** (bits - 1) * (1 if signed else 2)
        u, g = x[r, c].item() / s, upstream[r, c].item()
        factor = (x.numel() / math.prod(blocks) * high) ** -0.5
        if u > high:
            value[r, c] = s * high
            to_bits[place] += g * s * slope
            to_scale[bits - 2][place] += g * high * factor
        elif u < low:
            value[r, c] = s * low
            to_bits[place] -= g * s * slope * signed
            to_scale[bits - 2][place] += g * low * factor
        else:
            value[r, c] = s * round(u)
            to_x[r, c] = g
            to_scale[bits - 2][place] += g * (round(u) - u) * factor
    return value, to_x, to_bits, to_scale


@pytest.mark.parametrize("bits", [[5.0, 5.0, 5.0], [2.3, 4.6, 7.9], [8.0, 2.0, 3.4], [6.5, 2.5, 3.5]], ids=str)
@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_values_and_gradients_are_those_of_the_formulas(
    blocks: tuple[int, ...], signed: bool, bits: list[float]
) -> None:
    x = torch.randn(ROWS, COLUMNS, dtype=torch.float64, requires_grad=True)
    quantizer = quantizer_of(blocks, signed, bits, x.detach())
    upstream = torch.randn_like(x)
    value = quantizer(x).value()
    value.backward(upstream)
    found = (value, x.grad, quantizer.bits.grad, quantizer.scale.grad)
    for ours, theirs in zip(found, by_loop(quantizer, x.detach(), upstream), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    assert quantizer.bits.grad.abs().sum() > 0 and (x.grad == 0).any(), "something is clipped"


def test_only_clipped_elements_move_the_bits() -> None:
    x = torch.randn(ROWS, COLUMNS)
    quantizer = LearnedBits(Grid(4), (1, 1))
    quantizer.start(x, "minmax")
    with torch.no_grad():
        quantizer.scale.mul_(1.01)
    quantizer(x).value().sum().backward()
    assert quantizer.bits.grad.item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("signed", [True, False])
def test_at_eight_bits_every_clipped_element_still_moves_them(signed: bool, dtype: torch.dtype) -> None:
    """s * 127 / s is not always 127: with bounds that are exact only on paper, some scales would stop learning."""
    high = Grid(8, signed).high
    for number in range(200):
        quantizer = LearnedBits(Grid(8, signed), (1,)).to(dtype)
        with torch.no_grad():
            quantizer.scale.fill_(0.01 + number * 0.001237)
        x = torch.full((3,), 1000.0, dtype=dtype)
        ready = quantizer(x)
        assert (ready.code() == high).all()
        ready.value().sum().backward()
        expected = 3 * quantizer.scale[-1].item() * math.log(2) * (high + 1)
        assert quantizer.bits.grad.item() == pytest.approx(expected, rel=1e-5)
        factor = (3 * high) ** -0.5
        assert quantizer.scale.grad[-1].item() == pytest.approx(3 * high * factor, rel=1e-5)


def test_each_width_has_a_scale_and_only_the_one_in_use_learns() -> None:
    x = torch.randn(ROWS, COLUMNS)
    quantizer = LearnedBits(Grid(5), (3, 1))
    assert quantizer.scale.shape == (7, 3, 1) and list(WIDTHS) == [2, 3, 4, 5, 6, 7, 8]
    quantizer.start(x)
    for bits in WIDTHS:
        alone = LSQ(Grid(bits), (3, 1))
        alone.start(x)
        assert torch.equal(quantizer.scale[bits - 2], alone.scale), "a width begins as LSQ of that width does"
    with torch.no_grad():
        quantizer.bits.copy_(torch.tensor([2.0, 5.4, 7.6]).reshape(3, 1))
    quantizer(x).value().square().sum().backward()
    used = quantizer.scale.grad != 0
    assert used.sum() == 3 and used[0, 0] and used[3, 1] and used[6, 2]
    assert torch.equal(quantizer.scale_of(x).flatten(), quantizer.scale[[0, 3, 6], [0, 1, 2], 0])


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("signed", [True, False])
def test_with_the_bits_at_rest_it_is_lsq_of_that_width(signed: bool, bits: int) -> None:
    x = torch.randn(4, ROWS, COLUMNS, dtype=torch.float64)
    learned, plain = (cls(Grid(bits, signed), (1,)).double() for cls in (LearnedBits, LSQ))
    learned.start(x), plain.start(x)
    learned.freeze()
    weight = torch.randn(3, COLUMNS, dtype=torch.float64)
    rows = LSQ(Grid(4), (3, 1)).double()
    rows.start(weight)
    results = []
    for quantizer, scale in ((learned, learned.scale), (plain, plain.scale)):
        leaf = x.clone().requires_grad_()
        y = inner(quantizer(leaf), rows(weight))
        y.square().sum().backward()
        grad = scale.grad[bits - 2] if quantizer is learned else scale.grad
        results.append((quantizer(x).code(), y, leaf.grad, grad))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("bits", "upstream", "passes"),
    [
        (1.9, 1.0, False),
        (1.9, -1.0, True),
        (8.2, -1.0, False),
        (8.2, 1.0, True),
        (5.0, 1.0, True),
        (2.0, 1.0, True),
    ],
)
def test_bits_that_overshot_can_only_come_back(bits: float, upstream: float, passes: bool) -> None:
    """A plain clip would hold them outside for ever, where no gradient reaches them."""
    quantizer = LearnedBits(Grid(4), (1,))
    with torch.no_grad():
        quantizer.bits.fill_(bits)
    quantizer.width().backward(torch.tensor([upstream]))
    assert quantizer.bits.grad.item() == (upstream if passes else 0.0)
    assert quantizer.width().item() == min(max(round(bits), 2), 8)


def test_frozen_bits_stay_whatever_an_optimizer_does() -> None:
    """With momentum and weight decay an optimizer moves a parameter that has no gradient any more."""
    x = torch.randn(ROWS, COLUMNS)
    quantizer = LearnedBits(Grid(4), (3, 1))
    quantizer.start(x)
    optimizer = torch.optim.AdamW(quantizer.parameters(), lr=0.3, weight_decay=0.5)

    def step() -> None:
        optimizer.zero_grad()
        quantizer(x).value().square().sum().backward()
        optimizer.step()

    step()
    assert not quantizer.is_frozen()
    quantizer.freeze()
    frozen, bits, scale = quantizer.width().clone(), quantizer.bits.clone(), quantizer.scale.clone()
    for _ in range(20):
        step()
        assert quantizer.bits.grad.abs().sum() == 0
    assert quantizer.is_frozen() and torch.equal(quantizer.width(), frozen)
    assert not torch.equal(quantizer.bits, bits) and not torch.equal(quantizer.scale, scale)


def test_frozen_bits_are_part_of_the_state() -> None:
    x = torch.randn(ROWS, COLUMNS)
    quantizer, fresh = LearnedBits(Grid(4), (3, 1)), LearnedBits(Grid(7), (3, 1))
    quantizer.start(x)
    with torch.no_grad():
        quantizer.bits.copy_(torch.tensor([[2.2], [6.0], [3.9]]))
    quantizer.freeze()
    fresh.load_state_dict(quantizer.state_dict())
    assert fresh.is_frozen() and fresh.width().flatten().tolist() == [2.0, 6.0, 4.0]
    assert torch.equal(fresh(x).value(), quantizer(x).value())


def test_more_bits_are_learned_where_more_is_clipped_away() -> None:
    """One head has outliers that few bits cut off: its bits rise further."""
    x = torch.randn(2, 400)
    x[0, :40] *= 30
    quantizer = LearnedBits(Grid(3), (2, 1))
    quantizer.start(x[1].expand(2, -1))
    optimizer = torch.optim.Adam([quantizer.bits], lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        (quantizer(x).value() - x).square().mean().backward()
        optimizer.step()
    assert quantizer.bits[0].item() > quantizer.bits[1].item() + 0.5


def test_its_words_say_the_average_and_whether_it_still_learns() -> None:
    quantizer = LearnedBits(Grid(5, False), (2, 1, 1))
    with torch.no_grad():
        quantizer.bits[0] = 2
    assert quantizer.worded() == "3.5u" and quantizer.mean_bits() == 3.5
    assert "bits=3.5 learned, unsigned, scales=7x2x1x1" in repr(quantizer)
    quantizer.freeze()
    assert "bits=3.5 frozen" in repr(quantizer)
    with torch.device("meta"):
        ghost = LearnedBits(Grid(5), (1,))
    assert ghost.worded() == "8" and not ghost.is_frozen()


@pytest.mark.parametrize("grid", [Grid(1, False), Grid(1, offset=0.5), Grid(4, offset=0.5)], ids=str)
def test_a_grid_that_has_no_neighbours_in_width_is_refused(grid: Grid) -> None:
    with pytest.raises(ValueError, match="bits are learned from 2 to 8"):
        LearnedBits(grid, (1,))
