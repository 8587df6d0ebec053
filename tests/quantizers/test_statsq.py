import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.quantizers import Grid, StatsQ
from stillbit.quantizers.statsq import BITS_REACH, PAPER_REACH


def statsq(bits, blocks=(1,), **options):
    return StatsQ(StatsQ.grid_for(bits, True), blocks, **options)


def scale(normal, bits, reach):
    return reach * normal.mean_magnitude / 2 ** (bits - 1)


@pytest.mark.parametrize(("bits", "known"), [(2, 0.1375), (3, 0.0705), (4, 0.0490)])
def test_its_squared_error_on_normal_weights_is_the_known_one(normal, bits, known):
    """Known as .138, .071 and .049 from samples; this is the integral."""
    assert normal.error(scale(normal, bits, PAPER_REACH), Grid(bits, offset=0.5)) == pytest.approx(known, abs=5e-5)


@pytest.mark.parametrize(("bits", "known"), [(2, 0.1494), (3, 0.0406), (4, 0.0119)])
def test_the_best_mid_tread_grid_has_the_known_error(normal, bits, known):
    """Known as .150, .041 and .012: the paper's range is better at 2 bits, and at 4 bits four times worse."""
    best = normal.least(lambda s: normal.error(s, Grid(bits)), 0.05, 2.0)
    assert normal.error(best, Grid(bits)) == pytest.approx(known, abs=5e-5)


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_reach_for_a_width_is_where_the_error_is_least(normal, bits):
    best = normal.least(lambda reach: normal.error(scale(normal, bits, reach), Grid(bits, offset=0.5)), 1.0, 8.0)
    assert pytest.approx(best, abs=1e-3) == BITS_REACH[bits - 1]


@pytest.mark.parametrize(("bits", "known"), [(1, 0.3634), (2, 0.1188), (3, 0.03744), (4, 0.01154)])
def test_with_the_reach_for_its_width_the_error_is_that_of_the_best_uniform_quantizer(normal, bits, known):
    """Max, "Quantizing for minimum distortion" (1960), table II: equally spaced levels, 2 to 16 of them."""
    assert normal.error(scale(normal, bits, BITS_REACH[bits - 1]), Grid(bits, offset=0.5)) == pytest.approx(
        known, rel=1e-3
    )


@pytest.mark.parametrize(("bits", "known"), [(2, 1.984), (3, 2.979), (4, 3.948)])
def test_its_codes_of_normal_weights_have_the_known_entropy(normal, bits, known):
    p = normal.probabilities(scale(normal, bits, PAPER_REACH), Grid(bits, offset=0.5))
    assert -(p * p.log2()).sum().item() == pytest.approx(known, abs=1e-3)


def test_the_papers_range_clips_eleven_percent_of_normal_weights_at_every_width(normal):
    outside = math.erfc(PAPER_REACH * normal.mean_magnitude / math.sqrt(2))
    assert outside == pytest.approx(0.11, abs=0.005)
    w = torch.special.ndtri(torch.linspace(0.0005, 0.9995, 9999, dtype=torch.float64))
    for bits in range(1, 9):
        latent = statsq(bits)(w)
        alpha = latent.scale * 2 ** (bits - 1)
        assert (w.abs() > alpha).double().mean().item() == pytest.approx(outside, abs=2e-3)


@given(st.integers(1, 8), st.sampled_from(["paper", "bits"]), st.integers(0, 99))
def test_it_is_the_formula_of_the_paper(bits, reach, number):
    """alpha (round(clip(w / alpha, -1, 1) n - 1/2) + 1/2) / n, away from the clip, which rounds to a level outside."""
    w = torch.randn(64, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
    quantizer = statsq(bits, reach=reach)
    alpha, n = (2 if reach == "paper" else BITS_REACH[bits - 1]) * w.abs().mean(), 2 ** (bits - 1)
    code = ((w / alpha).clamp(-1, 1) * n - 0.5).round().clamp(-n, n - 1)
    torch.testing.assert_close(quantizer(w).value(), alpha * (code + 0.5) / n, rtol=1e-12, atol=0)


def test_the_scale_follows_the_weights_and_carries_no_gradient():
    w = torch.randn(4, 8, requires_grad=True)
    quantizer = statsq(3, (4, 1))
    assert not quantizer.scale_of(w).requires_grad
    torch.testing.assert_close(quantizer.scale_of(w * 4), quantizer.scale_of(w) * 4)


def test_it_has_nothing_to_store_and_nothing_to_start():
    quantizer = statsq(3, (4, 1))
    assert not quantizer.state_dict()
    quantizer.start(torch.randn(4, 8))


def test_its_reach_is_paper_or_bits():
    with pytest.raises(ValueError, match="reach must be 'paper' or 'bits', got 'wide'"):
        statsq(3, reach="wide")


def test_it_asks_for_a_mid_rise_grid():
    with pytest.raises(ValueError, match=r"symmetric: write Grid\(3, signed=True, offset=0.5\)"):
        StatsQ(Grid(3), (1,))
    assert StatsQ.grid_for(3, signed=False) == Grid(3, offset=0.5)
