import pytest
import torch

from stillbit.quantizers import LSQ, PACT, Elastic, Grid, LSQPlus, MinMax, Quantizer, StatsQ
from stillbit.quantizers.base import SMALLEST_SCALE, known, symmetric

LEARNED = [
    LSQ(Grid(3), (1,)),
    LSQ(Grid(3, signed=False), (1,), gradscale="by_magnitude"),
    LSQPlus(Grid(3, signed=False), (1,)),
    PACT(Grid(3, signed=False), (1,)),
    PACT(Grid(3), (1,)),
    Elastic(Grid(1, offset=0.5), (1,)),
]


def learned(quantizer):
    """The parameter that makes the scale."""
    return quantizer.level if isinstance(quantizer, PACT) else quantizer.scale


def test_a_quantizer_is_abstract_until_it_knows_its_scale():
    with pytest.raises(TypeError, match="scale_of"):
        Quantizer(Grid(4), (1,))


@pytest.mark.parametrize(
    ("quantizer", "words"),
    [
        (LSQ(Grid(4), (12, 1)), "bits=4, signed, scales=12x1"),
        (LSQPlus(Grid(8, signed=False), (1,)), "bits=8, unsigned, scales=1"),
        (StatsQ(Grid(2, offset=0.5), (3, 1, 1)), "bits=2, mid-rise, scales=3x1x1"),
    ],
    ids=["lsq", "lsq+", "statsq"],
)
def test_its_repr_shows_bits_range_and_scales(quantizer, words):
    assert words in repr(quantizer)


@pytest.mark.parametrize("number", [0.0, -0.0, 1e-40, -1e-40, 1e-13, SMALLEST_SCALE])
@pytest.mark.parametrize("quantizer", LEARNED, ids=lambda q: type(q).__name__)
def test_a_scale_that_reached_zero_stays_finite(quantizer, number):
    with torch.no_grad():
        learned(quantizer).fill_(number)
    x = torch.randn(64, requires_grad=True)
    value = quantizer(x).value()
    quantizer.zero_grad()
    value.sum().backward()
    assert value.isfinite().all() and x.grad.isfinite().all() and learned(quantizer).grad.isfinite().all()
    parts = quantizer.grid.high if isinstance(quantizer, PACT) else 1
    assert quantizer.scale_of(x.detach()).item() >= SMALLEST_SCALE / parts * (1 - 1e-6)  # as float32 rounds it


@pytest.mark.parametrize("quantizer", LEARNED, ids=lambda q: type(q).__name__)
def test_a_scale_that_stepped_through_zero_means_its_magnitude(quantizer):
    """And its gradient has turned round with it, so that the next step continues in the same direction."""
    x = torch.randn(64)
    results = []
    for sign in (1, -1):
        with torch.no_grad():
            learned(quantizer).fill_(sign * 0.37)
        quantizer.zero_grad()
        value = quantizer(x).value()
        value.square().sum().backward()
        results.append((value.detach(), learned(quantizer).grad.clone()))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], -results[1][1])


@pytest.mark.parametrize("cls", [LSQ, LSQPlus], ids=lambda cls: cls.__name__)
def test_a_block_that_is_zero_at_the_start_can_still_learn(cls):
    """A classifier begins at zero; with a scale of nearly zero its first step would clip it for good."""
    quantizer = cls(Grid(4, signed=cls is LSQ), (2, 1))
    x = torch.stack([torch.zeros(16), torch.randn(16)])
    quantizer.start(x)
    later = torch.full((2, 16), 0.01, requires_grad=True)
    quantizer(later).value().sum().backward()
    assert (later.grad == 1).all()
    assert quantizer.scale.grad[0] != 0


def test_unknown_names_are_answered_with_the_known_ones():
    with pytest.raises(ValueError) as refusal:
        LSQ(Grid(3), (1,), start="best")
    rules = "mse, mean_magnitude, percentile, minmax, three_sigma"
    assert str(refusal.value) == f"unknown start 'best': use one of {rules}"
    with pytest.raises(ValueError) as refusal:
        LSQ(Grid(3), (1,), gradscale="none")
    assert str(refusal.value) == "unknown gradscale 'none': use one of by_count, by_magnitude"


@pytest.mark.parametrize("make", [LSQ, LSQPlus, MinMax], ids=lambda cls: cls.__name__)
def test_an_unknown_rule_is_refused_when_the_start_is_asked_for(make):
    quantizer = make(Grid(3, signed=False), (1,))
    with pytest.raises(ValueError, match="unknown start 'best': use one of mse"):
        quantizer.start(torch.randn(9), rule="best")


def test_minmax_refuses_an_unknown_rule_where_it_is_written():
    with pytest.raises(ValueError, match="unknown start 'best': use one of mse"):
        MinMax(Grid(3), (1,), start="best")


def test_known_gives_the_name_back():
    assert known("fruit", "pear", ["apple", "pear"]) == "pear"
    with pytest.raises(ValueError, match="unknown fruit 'plum': use one of apple, pear"):
        known("fruit", "plum", ["apple", "pear"])


def test_a_symmetric_grid_is_asked_for_with_the_call_that_makes_one():
    assert symmetric(Grid(4, offset=0.5)) == Grid(4, offset=0.5)
    with pytest.raises(ValueError, match=r"symmetric: write Grid\(4, signed=True, offset=0.5\)"):
        symmetric(Grid(4))


@pytest.mark.parametrize("bits", range(1, 9))
def test_one_signed_bit_is_symmetric_and_more_are_not(bits):
    assert LSQ.grid_for(bits, signed=True) == Grid(bits, True, 0.5 if bits == 1 else 0.0)
    assert LSQ.grid_for(bits, signed=False) == Grid(bits, signed=False)


def test_a_start_touches_nothing_when_the_data_is_refused():
    for bad in (torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")]), torch.empty(0)):
        quantizer = LSQPlus(Grid(3, signed=False), (1,))
        before = {name: tensor.clone() for name, tensor in quantizer.state_dict().items()}
        with pytest.raises(ValueError, match="start values need"):
            quantizer.start(bad)
        assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_of_half_precision_keeps_its_scales_whole(dtype):
    quantizer = LSQPlus(Grid(4, signed=False), (1,))
    before = quantizer.scale.item(), quantizer.shift.item()
    quantizer.to(dtype)
    assert quantizer.scale.dtype == quantizer.shift.dtype == torch.float32
    assert (quantizer.scale.item(), quantizer.shift.item()) == before
    assert quantizer.double().scale.dtype == torch.float64
