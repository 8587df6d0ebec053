"""What every quantizer promises, whatever its method, bits, granularity and the tensor it serves.

The tests come in pairs: once over every combination at fixed shapes, once with Hypothesis over shapes and sizes.
What the blocks mean is written a second time here (`block_of`), and so is the gradient (`reference`), from the
formulas alone, so that agreement says something.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from stillbit.quantizers import (
    LSQ,
    PACT,
    DoReFaActivation,
    DoReFaWeight,
    Elastic,
    Grid,
    Latent,
    LearnedBits,
    LSQPlus,
    MinMax,
    Moved,
    Quantizer,
    Sign,
    StatsQ,
    by_count,
    by_magnitude,
    per_channel,
    per_group,
    per_head,
    per_tensor,
    per_token,
)
from stillbit.quantizers.snap import to_level

ALL_BITS = tuple(range(1, 9))


# ---------------------------------------------------------------------------------------------- what there is


@dataclass(frozen=True)
class Method:
    """A quantizer class with its options, and what is special about it."""

    name: str
    cls: type[Quantizer]
    kind: str
    signed: bool = True
    options: tuple[tuple[str, object], ...] = ()
    bits: tuple[int, ...] = ALL_BITS
    straight: bool = False
    """Documented as straight-through everywhere, also where it clips."""
    transforms: bool = False
    """Snaps something other than x (less a shift): tanh, a clip, a centred x."""
    settled: bool = True
    """Sends its own output to itself. False where the scale is a statistic that snapping changes, or x is squashed."""
    moves: bool = False
    """Inside a pair of learnable shifts; here a pair for each block, so that a block is all there is to know."""

    def __str__(self) -> str:
        return self.name

    def build(self, bits: int, blocks: tuple[int, ...]) -> Quantizer:
        quantizer = self.cls(self.cls.grid_for(bits, self.signed), blocks, **dict(self.options))
        return Moved(quantizer, blocks) if self.moves else quantizer


WEIGHTS = (
    Method("lsq", LSQ, "weight"),
    Method("lsq-by_magnitude", LSQ, "weight", options=(("gradscale", "by_magnitude"),)),
    Method("statsq", StatsQ, "weight", straight=True, settled=False),
    Method("statsq-bits", StatsQ, "weight", options=(("reach", "bits"),), straight=True, settled=False),
    Method("minmax-live", MinMax, "weight", options=(("live", True),)),
    Method("dorefa", DoReFaWeight, "weight", transforms=True, settled=False),
    Method("dorefa-unit", DoReFaWeight, "weight", options=(("sized", False),), transforms=True, settled=False),
    Method("sign", Sign, "weight", bits=(1,), straight=True, transforms=True),
    Method("sign-plain", Sign, "weight", options=(("centred", False),), bits=(1,), straight=True),
    Method("sign-clipped", Sign, "weight", options=(("ste", "clipped"),), bits=(1,), transforms=True),
    Method("learned_bits", LearnedBits, "weight", bits=ALL_BITS[1:], transforms=True),
)
ACTIVATIONS = tuple(
    Method(f"{name}-{'signed' if signed else 'unsigned'}", cls, "activation", signed, **special)
    for name, cls, special in (
        ("lsq", LSQ, {}),
        ("lsq-by_magnitude", LSQ, {"options": (("gradscale", "by_magnitude"),)}),
        ("lsq+", LSQPlus, {}),
        ("minmax", MinMax, {}),
        ("pact", PACT, {"transforms": True}),
        ("dorefa", DoReFaActivation, {}),
        ("elastic", Elastic, {"bits": (1,), "settled": False}),
        ("learned_bits", LearnedBits, {"bits": ALL_BITS[1:], "transforms": True}),
        ("lsq-moved", LSQ, {"moves": True, "settled": False}),
        ("lsq+-moved", LSQPlus, {"moves": True, "settled": False}),
        ("pact-moved", PACT, {"moves": True, "settled": False, "transforms": True}),
    )
    for signed in (True, False)
)
LEARNED = tuple(m for m in WEIGHTS + ACTIVATIONS if m.cls in (LSQ, LSQPlus, Elastic) and not m.moves)


@dataclass(frozen=True)
class Sizes:
    """The numbers a shape is made of."""

    batch: int = 2
    heads: int = 2
    tokens: int = 3
    width: int = 4
    groups: int = 3


Shape = tuple[int, ...]
Made = tuple[Shape, Shape]


@dataclass(frozen=True)
class Layout:
    """A kind of tensor with a granularity: from sizes to the tensor's shape and its blocks."""

    name: str
    kind: str
    make: Callable[[Sizes], Made] = field(repr=False)

    def __str__(self) -> str:
        return self.name


def weight(
    granularity: Callable[[Sizes], object], conv: bool = False, axis: int | None = None
) -> Callable[[Sizes], Made]:
    """A weight; with ``axis`` the heads lie there: 3H blocks of rows (query, key, value), or H blocks of columns."""

    def make(s: Sizes) -> Made:
        heads = {None: None, 0: 3 * s.heads, 1: s.heads}[axis]
        shape = (3 * s.heads * s.width, s.groups * s.width) if axis == 0 else (s.tokens, s.heads * s.groups * s.width)
        shape += (2, s.tokens) if conv else ()
        return shape, granularity(s).of_weight(shape, heads=heads, head_axis=axis or 0)

    return make


def tokens(granularity: Callable[[Sizes], object]) -> Callable[[Sizes], Made]:
    def make(s: Sizes) -> Made:
        channels = s.heads * s.width * s.groups
        blocks = granularity(s).of_tokens(channels, tokens=s.tokens, heads=s.heads)
        return (s.batch, s.tokens, channels), blocks

    return make


def heads(granularity: Callable[[Sizes], object]) -> Callable[[Sizes], Made]:
    def make(s: Sizes) -> Made:
        width = s.width * s.groups
        return (s.batch, s.heads, s.tokens, width), granularity(s).of_heads(s.heads, width, tokens=s.tokens)

    return make


def image(granularity: Callable[[Sizes], object]) -> Callable[[Sizes], Made]:
    def make(s: Sizes) -> Made:
        channels = s.width * s.groups
        return (s.batch, channels, s.tokens, 2), granularity(s).of_image(channels)

    return make


def always(granularity: object) -> Callable[[Sizes], object]:
    return lambda s: granularity


def grouped(s: Sizes) -> object:
    return per_group(s.width)


TENSOR, CHANNEL, HEAD, TOKEN = map(always, (per_tensor, per_channel, per_head, per_token))
LAYOUTS = (
    Layout("linear-per_tensor", "weight", weight(TENSOR)),
    Layout("linear-per_channel", "weight", weight(CHANNEL)),
    Layout("linear-per_head-rows", "weight", weight(HEAD, axis=0)),
    Layout("linear-per_head-columns", "weight", weight(HEAD, axis=1)),
    Layout("linear-per_group", "weight", weight(grouped)),
    Layout("conv-per_tensor", "weight", weight(TENSOR, conv=True)),
    Layout("conv-per_channel", "weight", weight(CHANNEL, conv=True)),
    Layout("conv-per_group", "weight", weight(grouped, conv=True)),
    *(
        Layout(f"{name}-{'per_group' if g is grouped else g(None)}", "activation", make(g))
        for name, make in (("tokens", tokens), ("heads", heads))
        for g in (TENSOR, CHANNEL, HEAD, TOKEN, grouped)
    ),
    *(
        Layout(f"image-{'per_group' if g is grouped else g(None)}", "activation", image(g))
        for g in (TENSOR, CHANNEL, grouped)
    ),
)
PAIRS = [(m, layout) for m in WEIGHTS + ACTIVATIONS for layout in LAYOUTS if m.kind == layout.kind]
every_pair = pytest.mark.parametrize(("method", "layout"), PAIRS, ids=lambda value: str(value))
every_method = pytest.mark.parametrize("method", WEIGHTS + ACTIVATIONS, ids=str)


# ------------------------------------------------------------------------------ the formulas, written once more


def block_of(shape: Shape, blocks: Shape) -> Tensor:
    """For every element, the number of the block it belongs to: element i of n, cut in b, is in block i * b // n."""
    number = torch.zeros(shape, dtype=torch.long)
    for axis, count in zip(range(-len(blocks), 0), blocks, strict=True):
        along = torch.arange(shape[axis]) * count // shape[axis]
        number = number * count + along.reshape(-1, *(1,) * (-axis - 1))
    return number


def reference(
    x: Tensor, scale: Tensor, grid: Grid, shift: Tensor | None, clips: bool, size_only: bool = False
) -> Tensor:
    """Straight-through snapping in plain autograd: everything that rounds is detached, equation 6 is written out."""
    number = block_of(x.shape, tuple(scale.shape))
    scale = scale.reshape(-1)[number]
    shift = torch.zeros(()) if shift is None else shift.reshape(-1)[number]
    steps = (x - shift) / scale
    low, high = (-(2 ** (grid.bits - 1)), 2 ** (grid.bits - 1) - 1) if grid.signed else (0, 2**grid.bits - 1)
    level = ((steps - grid.offset).round().clamp(low, high) + grid.offset).detach()
    inside = (steps >= low + grid.offset) & (steps <= high + grid.offset)
    if size_only:  # a code that does not know the scale
        steps = (x - shift) / scale.detach()
    ste = level + torch.where(inside if clips else torch.ones_like(inside), steps - steps.detach(), 0)
    return ste * scale + shift


# ---------------------------------------------------------------------------------------- one case, run through


@dataclass
class Case:
    """A quantizer that began with data, the data, and one pass forward and backward in ``dtype``."""

    method: Method
    layout: Layout
    bits: int
    sizes: Sizes
    dtype: torch.dtype = torch.float32
    number: int = 0
    size: float = 1.0

    def __post_init__(self) -> None:
        shape, blocks = self.layout.make(self.sizes)
        generator = torch.Generator().manual_seed(self.number)
        self.x = (torch.randn(shape, generator=generator) * self.size).to(self.dtype).requires_grad_()
        self.upstream = torch.randn(shape, generator=generator).to(self.dtype)
        self.quantizer = self.method.build(self.bits, blocks)
        if self.method.cls not in (DoReFaActivation,):
            self.quantizer.start(self.x, None if self.method.cls is MinMax else "mean_magnitude")
        for name, parameter in self.quantizer.named_parameters():
            # A little off, so that something clips, and shifts and thresholds matter.
            # Above the floor of a scale, where it would get no gradient.
            if name.endswith("scale"):
                parameter.data.mul_(0.7).clamp_min_(1e-11)
            elif name != "bits":
                parameter.data.add_((-0.4 if name == "before" else 0.1) * self.size)
        self.latent: Latent = self.quantizer(self.x)
        self.value = self.latent.value()
        self.value.backward(self.upstream)
        self.block = block_of(shape, blocks)
        self.grid = self.quantizer.grid

    def __repr__(self) -> str:
        return f"{self.method} {self.layout} bits={self.bits} {self.sizes} {self.dtype} {self.number} {self.size}"


@lru_cache(maxsize=4096)
def fixed(method: Method, layout: Layout, bits: int) -> Case:
    return Case(method, layout, bits, Sizes())


def over_bits(method: Method, layout: Layout, holds: Callable[[Case], None]) -> None:
    for bits in method.bits:
        holds(fixed(method, layout, bits))


@st.composite
def cases(draw, methods=WEIGHTS + ACTIVATIONS, dtypes=(torch.float32, torch.float64)) -> Case:
    method = draw(st.sampled_from(methods))
    layout = draw(st.sampled_from([item for item in LAYOUTS if item.kind == method.kind]))
    sizes = Sizes(*(draw(st.integers(1, 5)) for _ in range(5)))
    return Case(
        method,
        layout,
        draw(st.sampled_from(method.bits)),
        sizes,
        draw(st.sampled_from(dtypes)),
        draw(st.integers(0, 999)),
        draw(st.sampled_from([1e-4, 0.02, 1.0, 300.0])),
    )


# ------------------------------------------------------------------------------------------------ on the grid


def on_the_grid(case: Case) -> None:
    code = case.latent.code()
    assert code.dtype == torch.int16
    assert case.grid.low <= code.min() and code.max() <= case.grid.high
    scale = case.latent.scale.reshape(-1)[case.block]
    level = code.to(torch.promote_types(case.dtype, scale.dtype)) + case.grid.offset
    value = level * scale
    if case.latent.shift is not None:
        value = value + case.latent.shift.reshape(-1)[case.block]
    assert torch.equal(case.value, value.to(case.dtype))


def few_levels(case: Case) -> None:
    pairs = torch.stack([case.block.flatten().double(), case.value.detach().flatten().double()])
    _, counts = pairs.unique(dim=1)[0].unique(return_counts=True)
    assert counts.max() <= 2**case.bits


@every_pair
def test_every_value_is_a_code_times_its_blocks_scale(method, layout):
    over_bits(method, layout, on_the_grid)


@settings(max_examples=150)
@given(cases(dtypes=(torch.float32, torch.float64, torch.bfloat16)))
def test_every_value_is_a_code_times_its_blocks_scale_whatever_the_shape(case):
    on_the_grid(case)


@every_pair
def test_a_block_has_at_most_two_to_the_bits_levels(method, layout):
    over_bits(method, layout, few_levels)


@settings(max_examples=150)
@given(cases(dtypes=(torch.float32, torch.float64, torch.bfloat16)))
def test_a_block_has_at_most_two_to_the_bits_levels_whatever_the_shape(case):
    few_levels(case)


@pytest.mark.parametrize("bits", ALL_BITS)
def test_every_level_is_exact_in_bf16(bits):
    for grid in (Grid(bits, offset=0.5), Grid(bits, signed=False), *([Grid(bits)] if bits > 1 else [])):
        levels = to_level(torch.arange(-300.0, 300.0, 0.25), torch.ones(1), grid).unique()
        assert len(levels) == 2**bits
        assert torch.equal(levels.bfloat16().float(), levels)


# --------------------------------------------------------------------------------------------- a second pass


def snapped_again(case: Case) -> None:
    """On the same grid with the same scale: a value is its own nearest point."""
    again = case.latent._replace(x=case.value.detach())
    resolved = steps_are_resolved(case)
    assert torch.equal(again.code()[resolved], case.latent.code()[resolved])
    assert torch.equal(again.value()[resolved], case.value[resolved])


def quantized_again(case: Case) -> None:
    """Through the whole quantizer, which may measure its scale anew; the scale then rounds, the codes do not move."""
    again = case.quantizer(case.value.detach())
    assert torch.equal(again.code(), case.latent.code())
    torch.testing.assert_close(again.value(), case.value, rtol=2 * torch.finfo(torch.float32).eps, atol=0)


def steps_are_resolved(case: Case) -> Tensor:
    """Where a step is not lost in the rounding of the shift (as in blocks of equal elements, whose step is tiny)."""
    if case.latent.shift is None:
        return torch.ones_like(case.block, dtype=torch.bool)
    eps = torch.finfo(case.dtype).eps
    return (case.latent.scale > 4 * eps * case.latent.shift.abs()).reshape(-1)[case.block]


@every_pair
def test_a_second_pass_changes_nothing(method, layout):
    over_bits(method, layout, snapped_again)


@settings(max_examples=150)
@given(cases())
def test_a_second_pass_changes_nothing_whatever_the_shape(case):
    snapped_again(case)


SETTLED = [m for m in WEIGHTS + ACTIVATIONS if m.settled]


@pytest.mark.parametrize(("method", "layout"), [p for p in PAIRS if p[0].settled], ids=str)
def test_a_second_pass_through_the_quantizer_changes_nothing(method, layout):
    """For all whose scale is learned, fixed, or a maximum (which snapping keeps).

    Not for StatsQ (the mean magnitude of snapped weights is another one), DoReFa weights (tanh of tanh) and elastic
    binarization (the threshold is taken off again): there only the snap itself is idempotent, see above.
    """
    over_bits(method, layout, quantized_again)


def test_at_one_bit_statsq_keeps_its_own_output():
    """The mean magnitude of two levels is that level, so here the statistic does not move."""
    for layout in (layout for layout in LAYOUTS if layout.kind == "weight"):
        case = fixed(next(m for m in WEIGHTS if m.name == "statsq"), layout, 1)
        quantized_again(case)


# ------------------------------------------------------------------------------------------------- gradients


def inside(case: Case) -> Tensor:
    """Equation 6 for the tensor that is snapped, its edges included."""
    low, high = case.grid.edges
    x, shift = case.latent.x.detach(), case.latent.shift
    x = x if shift is None else x - shift.detach().reshape(-1)[case.block]
    steps = x / case.latent.scale.detach().reshape(-1)[case.block]
    return (steps >= low) & (steps <= high)


def gradient_of_the_latent(case: Case) -> None:
    assert case.x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in case.quantizer.parameters())
    if case.method.straight:
        assert torch.equal(case.x.grad, case.upstream)
    elif not case.method.transforms:
        assert torch.equal(case.x.grad, case.upstream * inside(case))


@every_pair
def test_the_gradient_is_the_upstream_inside_and_zero_outside(method, layout):
    """Straight-through methods (StatsQ, Sign) pass it everywhere; those that transform x have tests of their own."""
    over_bits(method, layout, gradient_of_the_latent)


@settings(max_examples=150)
@given(cases(dtypes=(torch.float32, torch.float64, torch.bfloat16)))
def test_the_gradient_is_the_upstream_inside_and_zero_outside_whatever_the_shape(case):
    gradient_of_the_latent(case)


def test_the_fixed_cases_clip_some_and_keep_some():
    for method in (m for m in WEIGHTS + ACTIVATIONS if m.cls in (LSQ, LSQPlus)):
        case = fixed(method, next(layout for layout in LAYOUTS if layout.kind == method.kind), 2)
        share = inside(case).double().mean().item()
        assert 0.1 < share < 1, str(method)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.kind == "activation"], ids=str)
@pytest.mark.parametrize("signed", [True, False])
def test_pact_passes_the_gradient_below_its_level_and_hands_it_to_the_level_above(layout, signed):
    method = next(m for m in ACTIVATIONS if m.cls is PACT and m.signed == signed)
    for bits in method.bits:
        case = fixed(method, layout, bits)
        level = case.quantizer.level.detach().reshape(-1)[case.block]
        x, upstream = case.x.detach(), case.upstream
        bottom = -level if signed else torch.zeros_like(level)
        below = (x > -level) if signed else (x >= 0)
        assert torch.equal(case.x.grad, upstream * ((x < level) & below))
        to_level_ = upstream * ((x >= level).double() - (signed & (x <= bottom)).double())
        got = case.quantizer.level.grad.double().flatten()
        expected = torch.zeros_like(got).index_add_(0, case.block.flatten(), to_level_.flatten())
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5 * upstream.abs().sum().item())


def gradients_of_the_state(case: Case) -> None:
    """In double, against `reference`, from the upstream on; the gradient scale is the formula of `by_count`."""
    quantizer = copy.deepcopy(case.quantizer).double()
    quantizer.zero_grad()
    x, upstream = case.x.detach().double(), case.upstream.double()
    quantizer(x).value().backward(upstream)
    leaves = {name: p.detach().clone().requires_grad_() for name, p in quantizer.named_parameters()}
    shift, threshold = leaves.get("shift"), leaves.get("threshold")
    moved = x if threshold is None else x - threshold.reshape(-1)[case.block]
    sign = case.method.cls is Elastic and case.grid.signed
    value = reference(moved, leaves["scale"], case.grid, shift, clips=True, size_only=sign)
    value.backward(upstream)
    sample = x.numel() if case.method.kind == "weight" else x[0].numel()
    sharing = sample / math.prod(case.quantizer.blocks)
    factor = (sharing * max(case.grid.high, 1)) ** -0.5
    if case.quantizer.gradscale == "by_magnitude":
        # The gradient scale counts what is snapped, as the formula of its own test below says.
        factor = by_magnitude(x, case.grid, case.quantizer.blocks)
    for name, p in quantizer.named_parameters():
        expected = leaves[name].grad * (factor if name == "scale" else 1)
        # A sum of both signs has rounding of its own: as much as doubles leave in what was summed.
        atol = 1e-13 * upstream.abs().sum().item() * 2**case.bits
        torch.testing.assert_close(p.grad, expected, rtol=1e-10, atol=atol)


@pytest.mark.parametrize(("method", "layout"), [p for p in PAIRS if p[0] in LEARNED], ids=str)
def test_learned_state_gets_the_gradient_of_plain_autograd(method, layout):
    over_bits(method, layout, gradients_of_the_state)


@settings(max_examples=150)
@given(cases(methods=LEARNED, dtypes=(torch.float64,)))
def test_learned_state_gets_the_gradient_of_plain_autograd_whatever_the_shape(case):
    gradients_of_the_state(case)


# ------------------------------------------------------------------------------------------- gradient scales


@given(st.sampled_from(LAYOUTS), st.sampled_from(ALL_BITS), st.integers(2, 5), st.integers(0, 99))
def test_gradient_scales_follow_their_formulas(layout, bits, batch, number):
    """1 / sqrt(N Qp), and 1 / sqrt(Qp |x|_1), of what shares a scale in one sample (on average)."""
    shape, blocks = layout.make(Sizes(batch=batch))
    x = torch.randn(shape, generator=torch.Generator().manual_seed(number), dtype=torch.float64)
    grid = LSQ.grid_for(bits, layout.kind == "weight")
    top, samples = max(grid.high, 1), 1 if layout.kind == "weight" else batch
    number_of = block_of(shape, blocks).flatten()
    sharing = number_of.bincount()
    assert len(sharing.unique()) == 1
    assert by_count(x, grid, blocks) == pytest.approx((sharing[0].item() / samples * top) ** -0.5, rel=1e-14)
    norm = torch.zeros(len(sharing), dtype=torch.float64).index_add_(0, number_of, x.abs().flatten()) / samples
    torch.testing.assert_close(by_magnitude(x, grid, blocks).flatten(), (norm * top) ** -0.5, rtol=1e-12, atol=0)


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout.kind == "activation"], ids=str)
def test_gradient_scales_do_not_depend_on_the_batch_size(layout):
    shape, blocks = layout.make(Sizes())
    x, grid = torch.randn(shape, dtype=torch.float64), Grid(4)
    more = x.repeat(5, *(1,) * (x.dim() - 1))
    assert by_count(more, grid, blocks) == by_count(x, grid, blocks)
    torch.testing.assert_close(by_magnitude(more, grid, blocks), by_magnitude(x, grid, blocks), rtol=1e-14, atol=0)


# ---------------------------------------------------------------------------------------------- number types


@every_method
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_value_and_its_gradient_keep_their_number_type(method, dtype):
    for layout in (layout for layout in LAYOUTS if layout.kind == method.kind):
        case = Case(method, layout, method.bits[-1], Sizes(), dtype)
        assert case.value.dtype == dtype, str(layout)
        assert case.x.grad.dtype == dtype
        assert case.value.isfinite().all()


@every_method
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_the_scale_is_fp32_also_under_autocast(method, dtype):
    layout = next(layout for layout in LAYOUTS if layout.kind == method.kind)
    with torch.autocast("cpu", torch.bfloat16):
        case = Case(method, layout, method.bits[-1], Sizes(), dtype)
    assert case.latent.scale.dtype == torch.float32
    assert all(p.dtype == torch.float32 and p.grad.dtype == torch.float32 for p in case.quantizer.parameters())
    assert case.value.dtype == dtype


@pytest.mark.parametrize("method", [m for m in WEIGHTS if m.cls in (StatsQ, Sign, MinMax, DoReFaWeight)], ids=str)
def test_a_measured_scale_does_not_lose_digits_to_a_half_precision_tensor(method):
    """A sum of 2^18 halves passes 65504, and bf16 has 3 digits: statistics are taken in float32."""
    x = torch.rand(512, 512) + 0.5
    for dtype in (torch.float16, torch.bfloat16):
        low = x.to(dtype)
        quantizer = method.build(method.bits[0], (1, 1))
        torch.testing.assert_close(quantizer(low).scale, quantizer(low.float()).scale, rtol=1e-6, atol=0)


# ------------------------------------------------------------------------------------- what must stay finite

HARD = {
    "zero": lambda shape: torch.zeros(shape),
    "constant": lambda shape: torch.full(shape, 3.0),
    "negative constant": lambda shape: torch.full(shape, -0.01),
    "tiny": lambda shape: torch.full(shape, 1e-30),
    "huge": lambda shape: torch.randn(shape) * 1e15,
    "one nonzero": lambda shape: torch.zeros(shape).index_fill_(-1, torch.tensor([0]), 1.0),
}


@every_pair
@pytest.mark.parametrize("hard", HARD)
def test_hard_inputs_stay_finite_before_and_after_the_start(method, layout, hard):
    shape, blocks = layout.make(Sizes(tokens=2, groups=2, width=2))
    for bits in {method.bits[0], method.bits[-1], method.bits[len(method.bits) // 2]}:
        quantizer = method.build(bits, blocks)
        for started in (False, True):
            x = HARD[hard](shape).requires_grad_()
            if started:
                quantizer.start(x)
            quantizer.zero_grad()
            value = quantizer(x).value()
            value.sum().backward()
            assert value.isfinite().all()
            assert x.grad.isfinite().all()
            for name, tensor in quantizer.state_dict().items():
                assert tensor.isfinite().all(), name
            for name, parameter in quantizer.named_parameters():
                assert parameter.grad.isfinite().all(), name
            assert (quantizer(x).scale > 0).all()


@every_pair
def test_blocks_of_a_single_element_stay_finite(method, layout):
    shape, blocks = layout.make(Sizes(1, 1, 1, 1, 1))
    for bits in (method.bits[0], method.bits[-1]):
        quantizer = method.build(bits, blocks)
        for number in (0.0, -0.3, 2.0):
            x = torch.full(shape, number, requires_grad=True)
            quantizer.start(x)
            value = quantizer(x).value()
            value.sum().backward()
            assert value.isfinite().all() and x.grad.isfinite().all()
            assert all(p.grad.isfinite().all() for p in quantizer.parameters())


# ----------------------------------------------------------------------------------------------------- state


@every_pair
def test_state_has_its_final_shape_before_the_first_forward(method, layout):
    shape, blocks = layout.make(Sizes())
    quantizer = method.build(method.bits[-1], blocks)
    before = {name: (tensor.shape, tensor.dtype) for name, tensor in quantizer.state_dict().items()}
    # Learned bits have a scale for each width, and remember whole numbers.
    assert all(s[-len(blocks) :] == blocks for s, d in before.values() if d != torch.bool)
    assert {d for _, d in before.values()} <= {torch.float32, torch.bool, torch.int8}
    x = torch.randn(shape)
    quantizer(x).value()
    quantizer.start(x)
    quantizer(x).value()
    assert {name: (tensor.shape, tensor.dtype) for name, tensor in quantizer.state_dict().items()} == before
    assert not set(dict(quantizer.named_buffers())) - set(before), "a buffer outside the state is lost in a file"


@every_pair
def test_state_round_trips_strictly_into_a_fresh_quantizer(method, layout):
    case = fixed(method, layout, method.bits[-1])
    fresh = method.build(method.bits[-1], case.quantizer.blocks)
    fresh.load_state_dict(copy.deepcopy(case.quantizer.state_dict()), strict=True)
    assert torch.equal(fresh(case.x).value(), case.value)


@every_pair
def test_it_is_made_on_meta_and_filled_from_a_file(method, layout):
    case = fixed(method, layout, method.bits[-1])
    with torch.device("meta"):
        quantizer = method.build(method.bits[-1], case.quantizer.blocks)
    assert all(t.is_meta for t in quantizer.state_dict().values())
    assert quantizer(case.x.detach().to("meta")).value().shape == case.x.shape
    quantizer.to_empty(device="cpu").load_state_dict(case.quantizer.state_dict(), strict=True)
    assert torch.equal(quantizer(case.x).value(), case.value)


@every_method
def test_it_moves_to_meta_with_all_it_has(method):
    layout = next(layout for layout in LAYOUTS if layout.kind == method.kind)
    shape, blocks = layout.make(Sizes())
    quantizer = method.build(method.bits[-1], blocks).to("meta")
    assert quantizer(torch.randn(shape, device="meta")).value().is_meta


@every_pair
def test_a_deep_copy_is_equal_and_apart(method, layout):
    case = fixed(method, layout, method.bits[-1])
    twin = copy.deepcopy(case.quantizer)
    assert torch.equal(twin(case.x).value(), case.value)
    for parameter in twin.parameters():
        parameter.data.add_(1)
    assert torch.equal(case.quantizer(case.x).value(), case.value)


@every_method
def test_what_a_quantizer_serves_is_written_on_its_class(method):
    assert method.kind in method.cls.serves


# ------------------------------------------------------------------------------------------------ torch.compile


def compiled_pairs() -> list[tuple[Method, Layout, int]]:
    methods, layouts = {str(m): m for m in WEIGHTS + ACTIVATIONS}, {str(item): item for item in LAYOUTS}
    chosen = (
        ("lsq", "linear-per_head-rows", 3),
        ("lsq-by_magnitude", "linear-per_group", 2),
        ("statsq", "linear-per_channel", 4),
        ("minmax-live", "conv-per_channel", 8),
        ("dorefa", "linear-per_tensor", 2),
        ("sign", "linear-per_channel", 1),
        ("lsq+-unsigned", "tokens-per_tensor", 4),
        ("pact-unsigned", "image-per_channel", 3),
        ("dorefa-unsigned", "tokens-per_tensor", 2),
        ("elastic-signed", "heads-per_head", 1),
        ("lsq-unsigned", "heads-per_token", 8),
        ("learned_bits", "linear-per_head-rows", 3),
        ("learned_bits-unsigned", "heads-per_head", 4),
        ("lsq-moved-signed", "heads-per_channel", 3),
    )
    return [(methods[m], layouts[item], bits) for m, item, bits in chosen]


def snap_through(quantizer: nn.Module, x: Tensor) -> Tensor:
    return quantizer(x).value()


def agrees_with_eager(method: Method, layout: Layout, bits: int, backend: str) -> None:
    """Values bit for bit; sums of gradients may be added in another order."""
    torch.compiler.reset()
    compiled = torch.compile(snap_through, backend=backend, fullgraph=True)
    case = Case(method, layout, bits, Sizes())
    quantizer = copy.deepcopy(case.quantizer)
    for step in range(2):
        x = case.x.detach().clone().requires_grad_()
        quantizer.zero_grad()
        case.quantizer.zero_grad()
        case.x.grad = None
        with torch.compiler.set_stance("default" if step == 0 else "fail_on_recompile"):
            value = compiled(quantizer, x)
            value.backward(case.upstream)
        expected = case.quantizer(case.x).value()
        expected.backward(case.upstream)
        assert torch.equal(value, expected)
        torch.testing.assert_close(x.grad, case.x.grad, rtol=1e-6, atol=1e-6)
        for ours, theirs in zip(quantizer.parameters(), case.quantizer.parameters(), strict=True):
            scale = theirs.grad.abs().max().item() + case.upstream.abs().sum().item() * 1e-2
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6 * scale)
        for parameters in (quantizer.parameters(), case.quantizer.parameters()):
            for parameter in parameters:
                parameter.data.mul_(1.25)


@pytest.mark.parametrize(("method", "layout", "bits"), compiled_pairs(), ids=str)
def test_compiled_it_agrees_with_eager_and_a_new_scale_recompiles_nothing(method, layout, bits):
    agrees_with_eager(method, layout, bits, "aot_eager")


@pytest.mark.parametrize(("method", "layout", "bits"), [compiled_pairs()[i] for i in (0, 6)], ids=str)
def test_compiled_to_machine_code_it_agrees_with_eager(method, layout, bits):
    agrees_with_eager(method, layout, bits, "inductor")
