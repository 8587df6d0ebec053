import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stillbit.quantizers import per_channel, per_group, per_head, per_tensor, per_token
from stillbit.quantizers.granularity import gather, gathered_sum, named, share, spread, wide

ALL = (per_tensor, per_channel, per_head, per_token, per_group(64))


@pytest.mark.parametrize(
    ("granularity", "blocks"),
    [(per_tensor, (1, 1)), (per_channel, (12, 1)), (per_head, (6, 1)), (per_group(4), (12, 2))],
    ids=str,
)
def test_a_weight_is_cut_along_its_rows(granularity, blocks):
    assert granularity.of_weight((12, 8), heads=6) == blocks


def test_heads_of_a_projection_lie_on_the_input_columns():
    assert per_head.of_weight((12, 8), heads=4, head_axis=1) == (1, 4)


@pytest.mark.parametrize(
    ("granularity", "blocks"),
    [(per_tensor, (1, 1, 1, 1)), (per_channel, (6, 1, 1, 1)), (per_group(2), (6, 4, 1, 1))],
    ids=str,
)
def test_a_kernel_is_cut_along_its_channels(granularity, blocks):
    assert granularity.of_weight((6, 8, 3, 3)) == blocks


@pytest.mark.parametrize(
    ("granularity", "tokens", "heads", "image"),
    [
        (per_tensor, (1,), (1,), (1,)),
        (per_channel, (12,), (3, 1, 4), (12, 1, 1)),
        (per_head, (3,), (3, 1, 1), None),
        (per_token, (5, 1), (1, 5, 1), None),
        (per_group(2), (6,), (3, 1, 2), (6, 1, 1)),
    ],
    ids=str,
)
def test_an_activation_is_cut_without_its_batch_axis(granularity, tokens, heads, image):
    assert granularity.of_tokens(12, tokens=5, heads=3) == tokens
    assert granularity.of_heads(3, 4, tokens=5) == heads
    if image is not None:
        assert granularity.of_image(12) == image


NO_HEADS = "per_head needs a layer with attention heads: use per_tensor or per_channel here"
NOT_DIVIDING = "{} heads do not divide {} channels: give a number of heads that does"
UNEVEN = "groups of {} do not divide {} inputs: choose a divisor of {}"
NO_TOKENS = "per_token needs to know how many tokens there are: this layer's input has no fixed number; use per_tensor"
A_WEIGHT = "a weight has no token positions: use per_tensor, per_channel, per_head or per_group"
AN_IMAGE = "a feature map has no {}: use per_tensor, per_channel or per_group"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: per_head.of_weight((12, 8)), NO_HEADS),
        (lambda: per_head.of_tokens(12), NO_HEADS),
        (lambda: per_head.of_weight((12, 8), heads=5), NOT_DIVIDING.format(5, 12)),
        (lambda: per_head.of_weight((12, 8), heads=3, head_axis=1), NOT_DIVIDING.format(3, 8)),
        (lambda: per_head.of_tokens(12, heads=0), NOT_DIVIDING.format(0, 12)),
        (lambda: per_group(5).of_weight((12, 8)), UNEVEN.format(5, 8, 8)),
        (lambda: per_group(16).of_tokens(8), UNEVEN.format(16, 8, 8)),
        (lambda: per_group(3).of_heads(2, 8), UNEVEN.format(3, 8, 8)),
        (lambda: per_token.of_weight((12, 8)), A_WEIGHT),
        (lambda: per_token.of_image(8), AN_IMAGE.format("tokens")),
        (lambda: per_head.of_image(8), AN_IMAGE.format("heads")),
        (lambda: per_token.of_tokens(8), NO_TOKENS),
        (lambda: per_token.of_heads(2, 8), NO_TOKENS),
    ],
)
def test_what_cannot_be_cut_is_refused_with_what_to_use(wrong, sentence):
    with pytest.raises(ValueError) as refusal:
        wrong()
    assert str(refusal.value) == sentence


@pytest.mark.parametrize("size", [0, -4, 2.5, "64", True, None])
def test_a_group_is_a_whole_number_of_inputs(size):
    with pytest.raises(ValueError, match=r"a group has a whole number of inputs, got .*: write per_group\(64\)"):
        per_group(size)


@pytest.mark.parametrize("granularity", ALL, ids=str)
def test_its_name_brings_it_back(granularity):
    assert named(str(granularity)) == granularity


@pytest.mark.parametrize("name", ["per_row", "per_group", "per_group()", "per_group(x)", "per_group(-4)", ""])
def test_an_unknown_name_is_answered_with_the_known_ones(name):
    with pytest.raises(ValueError, match=r"use one of per_tensor, per_channel, per_head, per_token or per_group\(64\)"):
        named(name)


def test_a_group_of_zero_is_refused_by_name_too():
    with pytest.raises(ValueError, match="a group has a whole number of inputs"):
        named("per_group(0)")


def test_granularities_are_values():
    assert per_group(8) == per_group(8) != per_group(4)
    assert len({*ALL, per_group(64)}) == 5


# ---------------------------------------------------------------------------- spread, gather, gathered_sum


@st.composite
def cut_tensors(draw):
    """A tensor of any shape, and blocks that divide its last axes."""
    blocks, shape = [], []
    lead = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(0, 2)))]
    for _ in range(draw(st.integers(1, 4))):
        each = draw(st.integers(1, 3))
        number = draw(st.integers(1, 4))
        blocks.append(number)
        shape.append(number * each)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    x = torch.randint(-9, 10, (*lead, *shape), generator=generator).double()
    return x, tuple(blocks)


def block_of(shape, blocks):
    """For every element, the number of its block: along each axis, element i of n is in block i * b // n."""
    number = torch.zeros(shape, dtype=torch.long)
    for axis, count in zip(range(-len(blocks), 0), blocks, strict=True):
        along = torch.arange(shape[axis]) * count // shape[axis]
        number = number * count + along.reshape(-1, *(1,) * (-axis - 1))
    return number


@given(cut_tensors())
def test_spread_gives_every_element_the_scale_of_its_block(case):
    x, blocks = case
    scale = torch.arange(math.prod(blocks)).double().reshape(blocks)
    spread_out = spread(scale, x.shape).expand(x.shape)
    assert torch.equal(spread_out, block_of(x.shape, blocks).double())


@given(cut_tensors())
def test_gather_makes_one_row_of_everything_that_shares_a_scale(case):
    x, blocks = case
    rows = gather(x, blocks)
    number = block_of(x.shape, blocks)
    assert rows.shape == (math.prod(blocks), x.numel() // math.prod(blocks))
    for i, row in enumerate(rows):
        assert torch.equal(row.sort().values, x[number == i].sort().values)


@given(cut_tensors())
def test_gathered_sum_is_the_sum_of_each_gathered_row(case):
    x, blocks = case
    total = gathered_sum(x, blocks)
    assert total.shape == blocks
    assert torch.equal(total.flatten(), gather(x, blocks).sum(1))


@given(cut_tensors())
def test_gathered_sum_is_the_transpose_of_spread(case):
    """Whole numbers, so both sides of <spread(s), x> = <s, gathered_sum(x)> are exact."""
    x, blocks = case
    scale = torch.arange(1.0, math.prod(blocks) + 1).double().reshape(blocks)
    assert (spread(scale, x.shape) * x).sum() == (scale * gathered_sum(x, blocks)).sum()


@given(cut_tensors())
def test_the_gradient_of_spread_is_the_gathered_sum(case):
    x, blocks = case
    scale = torch.ones(blocks, dtype=torch.float64, requires_grad=True)
    (spread(scale, x.shape) * x).sum().backward()
    assert torch.equal(scale.grad, gathered_sum(x, blocks))


@given(cut_tensors())
def test_a_share_counts_the_elements_of_one_sample(case):
    x, blocks = case
    samples = x.shape[0] if x.dim() > len(blocks) else 1
    counts = block_of(x.shape, blocks).flatten().bincount()
    assert share(x, blocks) == counts[0].item() / samples


def test_a_tensor_that_blocks_do_not_divide_is_refused():
    with pytest.raises(ValueError, match=r"a tensor of shape \(2, 7\) cannot be cut into \(1, 3\) blocks"):
        spread(torch.ones(1, 3), (2, 7))


def test_statistics_are_taken_in_at_least_float32():
    kinds = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.float32: torch.float32}
    for given_, taken in {**kinds, torch.float64: torch.float64}.items():
        assert wide(torch.ones(1, dtype=given_)).dtype == taken
