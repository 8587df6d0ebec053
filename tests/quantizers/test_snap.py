import pytest
import torch

from stillbit.quantizers import Grid, Latent, snap
from stillbit.quantizers.snap import to_code, to_level

GRIDS = [
    Grid(2),
    Grid(3),
    Grid(8),
    Grid(1, signed=False),
    Grid(3, signed=False),
    Grid(8, signed=False),
    Grid(1, offset=0.5),
    Grid(2, offset=0.5),
    Grid(4, offset=0.5),
]
every_grid = pytest.mark.parametrize("grid", GRIDS, ids=str)
STEP = 0.125  # a power of two: every quotient below is exact


def ramp(grid):
    """Quarter steps past both ends: every level, every rounding tie, both clip edges, all exact."""
    low, high = grid.edges
    return torch.arange(low - 3, high + 3.25, 0.25, dtype=torch.float64) * STEP


def passed(x, grid, shift=None):
    """Every element with a scale and a shift of its own, so that their gradients tell elements apart."""
    x = x.clone().requires_grad_()
    scale = torch.full_like(x, STEP, requires_grad=True)
    shift = None if shift is None else torch.full_like(x, shift, requires_grad=True)
    value = snap(x, scale, grid, shift)
    value.sum().backward()
    return x, scale, shift, value


@every_grid
def test_codes_are_rounded_half_to_even_and_clipped(grid):
    x = ramp(grid)
    expected = [min(max(round(v / STEP - grid.offset), grid.low), grid.high) for v in x.tolist()]
    latent = Latent(x, grid, torch.tensor([STEP]))
    assert latent.code().tolist() == expected
    assert latent.value().tolist() == [(code + grid.offset) * STEP for code in expected]


@every_grid
def test_the_gradient_to_x_is_one_inside_with_both_edges_and_zero_outside(grid):
    x, _, _, _ = passed(ramp(grid), grid)
    steps = ramp(grid) / STEP
    low, high = grid.edges
    assert (steps == low).any() and (steps == high).any() and (steps < low).any() and (steps > high).any()
    assert torch.equal(x.grad, ((steps >= low) & (steps <= high)).double())


@every_grid
def test_the_gradient_to_the_scale_is_the_rounding_error_inside_and_the_outermost_level_outside(grid):
    _, scale, _, _ = passed(ramp(grid), grid)
    steps = ramp(grid) / STEP
    level = (steps - grid.offset).round().clamp(grid.low, grid.high) + grid.offset
    low, high = grid.edges
    expected = torch.where((steps >= low) & (steps <= high), level - steps, level)
    assert torch.equal(scale.grad, expected)


@every_grid
def test_the_gradient_to_a_shift_is_zero_inside_and_one_outside(grid):
    _, _, shift, _ = passed(ramp(grid) + 0.375, grid, 0.375)
    steps = ramp(grid) / STEP
    low, high = grid.edges
    assert torch.equal(shift.grad, ((steps < low) | (steps > high)).double())


@every_grid
def test_a_shift_moves_the_grid_and_nothing_else(grid):
    plain, moved = passed(ramp(grid), grid)[-1], passed(ramp(grid) + 0.375, grid, 0.375)[-1]
    assert torch.equal(moved, plain + 0.375)


@every_grid
def test_without_clipping_the_gradient_passes_everywhere(grid):
    x = ramp(grid).requires_grad_()
    upstream = torch.randn_like(x)
    Latent(x, grid, torch.tensor([STEP]), clips=False).value().backward(upstream)
    assert torch.equal(x.grad, upstream)


@every_grid
def test_the_gradient_to_a_scale_of_size_alone_is_the_level(grid):
    x, scale = ramp(grid), torch.tensor([STEP], requires_grad=True)
    upstream = torch.randn_like(x)
    latent = Latent(x, grid, scale, size_only=True)
    latent.value().backward(upstream)
    level = latent.code().double() + grid.offset
    torch.testing.assert_close(scale.grad.double(), (level * upstream).sum()[None], rtol=1e-6, atol=1e-6)


def test_a_latent_that_is_turned_stays_what_it_is():
    latent = Latent(torch.randn(3, 4), Grid(2), torch.rand(3, 1), clips=False, size_only=True)
    assert latent.mT.way == latent.way and torch.equal(latent.mT.value(), latent.value().mT)


@every_grid
def test_zero_of_either_sign_is_one_code(grid):
    codes = Latent(torch.tensor([0.0, -0.0]), grid, torch.ones(1)).code()
    assert codes.tolist() == [0, 0]


def test_a_float_latent_is_its_own_value_and_has_no_code():
    x = torch.randn(3)
    assert Latent(x).value() is x
    with pytest.raises(ValueError, match="a float tensor has no codes: its spec says 32 bits"):
        Latent(x).code()


def test_codes_fit_int16_and_carry_no_gradient():
    x = torch.randn(100, requires_grad=True) * 100
    code = Latent(x, Grid(8, signed=False), torch.ones(1, requires_grad=True)).code()
    assert code.dtype == torch.int16 and not code.requires_grad
    assert code.max() == 255


def test_snapping_leaves_its_inputs_and_the_upstream_gradient_alone():
    x, scale, upstream = torch.randn(4, 6), torch.rand(4, 1) + 0.1, torch.randn(4, 6)
    kept = [t.clone() for t in (x, scale, upstream)]
    x.requires_grad_(), scale.requires_grad_()
    value = snap(x, scale, Grid(3))
    value.backward(upstream, retain_graph=True)
    first = x.grad.clone(), scale.grad.clone()
    x.grad = scale.grad = None
    value.backward(upstream)
    assert all(torch.equal(a, b) for a, b in zip((x, scale, upstream), kept, strict=True))
    assert torch.equal(x.grad, first[0]) and torch.equal(scale.grad, first[1])


def test_an_expanded_upstream_gradient_is_not_written_into():
    x = torch.randn(4, 6, requires_grad=True)
    snap(x, torch.full((4, 1), 0.1), Grid(2)).sum().backward()  # the gradient of a sum is one expanded number
    inside = ((x / 0.1) >= -2) & ((x / 0.1) <= 1)
    assert torch.equal(x.grad, inside.float())


def test_strided_tensors_are_snapped_like_their_copies():
    x, upstream = torch.randn(6, 4), torch.randn(4, 6)
    results = []
    for tensor in (x.t(), x.t().contiguous()):
        leaf, scale = tensor.detach().requires_grad_(), torch.full((2, 1), 0.3, requires_grad=True)
        value = snap(leaf, scale, Grid(3))
        value.backward(upstream)
        results.append((value, leaf.grad, scale.grad))
    for strided, plain in zip(*results, strict=True):
        torch.testing.assert_close(strided, plain, rtol=1e-6, atol=1e-6)


def test_a_scale_that_asks_for_no_gradient_gets_none():
    x, scale = torch.randn(5, requires_grad=True), torch.ones(1)
    snap(x, scale, Grid(3)).sum().backward()
    assert scale.grad is None


def test_only_a_scale_may_ask_for_a_gradient():
    x, scale = torch.randn(5), torch.ones(1, requires_grad=True)
    snap(x, scale, Grid(3)).sum().backward()
    assert scale.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_rounded_in_float32(dtype):
    """A quotient rounded to 8 bits first would fall on the wrong side of a threshold."""
    x = (torch.randn(4096) * 3).to(dtype)
    scale = torch.tensor([0.0437])
    assert torch.equal(to_code(x, scale, Grid(8)), to_code(x.float(), scale, Grid(8)))


def test_a_level_is_its_code_and_half_a_step_on_a_mid_rise_grid():
    x, scale = torch.randn(100), torch.tensor([0.3])
    for grid in GRIDS:
        assert torch.equal(to_level(x, scale, grid), to_code(x, scale, grid) + grid.offset)


def test_the_gradient_of_a_shift_keeps_what_clips_in_bf16_too():
    """One of 4096 elements clips, so the gradient is 1; the sums over all the others must cancel."""
    x = torch.linspace(0.1, 1.4, 4096).bfloat16().requires_grad_()
    with torch.no_grad():
        x[0] = 9.0
    shift = torch.zeros(1, requires_grad=True)
    snap(x, torch.full((1,), 0.1), Grid(4, signed=False), shift).backward(torch.ones(4096, dtype=torch.bfloat16))
    assert shift.grad.item() == pytest.approx(1.0, abs=0.01)
