"""What every quantized layer promises, whatever float layer it stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
import torch
from timm.layers import Attention, AttentionRope
from timm.models.beit import Attention as BeitAttention
from timm.models.eva import EvaAttention
from timm.models.swin_transformer import WindowAttention
from timm.models.swin_transformer_v2 import WindowAttention as CosineAttention
from torch import Tensor, nn

from stillbit import (
    AttentionSpec,
    LayerSpec,
    Plan,
    Rule,
    Spec,
    dequantize,
    per_channel,
    per_group,
    per_head,
    per_tensor,
    per_token,
    quantize,
)
from stillbit.layers.activation import QuantActivation
from stillbit.layers.attention import QuantAttention
from stillbit.layers.base import QuantLayer
from stillbit.layers.embedding import QuantEmbedding
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.walk import quantizers
from stillbit.quantizers import LSQ, Granularity, Grid, Latent

# Torch says once that an even kernel cannot be padded evenly.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

HEADS, WIDTH, AREA = 3, 8, 16
CHANNELS = HEADS * WIDTH


def tokens(count: int = AREA, batch: int = 4) -> Tensor:
    return torch.randn(batch, count, CHANNELS, generator=torch.Generator().manual_seed(5))


def image() -> Tensor:
    return torch.randn(2, 4, 7, 9, generator=torch.Generator().manual_seed(5))


def words() -> Tensor:
    return torch.tensor([[0, 3, 0, 10], [2, 2, 9, 1]])


def some_keys(dtype: torch.dtype = torch.bool) -> Tensor:
    """A mask that hides keys, never all of a query's."""
    seen = torch.rand(AREA, AREA, generator=torch.Generator().manual_seed(6)) > 0.5
    seen.fill_diagonal_(True)
    if dtype == torch.bool:
        return seen
    return torch.zeros(AREA, AREA, dtype=dtype).masked_fill(~seen, float("-inf"))


def apart() -> Tensor:
    """Swin's mask for two windows: -100 between regions."""
    region = torch.arange(AREA) // torch.tensor([[AREA], [5]])
    return (region[:, None] != region[:, :, None]).float() * -100


def rope(count: int = AREA) -> Tensor:
    angle = torch.rand(count, WIDTH // 2, generator=torch.Generator().manual_seed(8)).repeat_interleave(2, -1)
    return torch.cat([angle.sin(), angle.cos()], -1)


def fused(layer: Any) -> nn.Module:
    layer.fused_attn = True
    return layer


def by_hand(layer: Any) -> nn.Module:
    layer.fused_attn = False
    return layer


def biased(layer: Any) -> nn.Module:
    """Numbers where timm starts with zeros, so that leaving something out shows."""
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            if "bias" in name or parameter.dim() < 2:
                parameter.add_(torch.randn(parameter.shape) * 0.3)
    return layer


@dataclass(frozen=True)
class Case:
    """A float layer, its input, and how it is called."""

    name: str
    make: Callable[[], nn.Module]
    input: Callable[[], Tensor]
    call: dict[str, Any] = field(default_factory=dict)
    merge: bool = False

    def __str__(self) -> str:
        return self.name

    def float(self, dtype: torch.dtype = torch.float32) -> nn.Module:
        torch.manual_seed(1)
        return self.make().to(dtype)

    def quantized(self, original: nn.Module, bits: int = 4) -> Any:
        spec = Spec(bits)
        rules = (
            Rule("@attention", AttentionSpec.all(spec, merge=self.merge), optional=not self.merge),
            Rule("*", LayerSpec(Spec(bits, granularity=per_channel), spec), optional=True),
        )
        return quantize(nn.Sequential(original), Plan(rules))[0]

    def x(self, dtype: torch.dtype = torch.float32) -> Tensor:
        x = self.input()
        return x.to(dtype) if x.is_floating_point() else x

    def arguments(self, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
        def cast(value: Any) -> Any:
            return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

        return {k: cast(v() if callable(v) else v) for k, v in self.call.items()}

    def run(self, layer: nn.Module, dtype: torch.dtype = torch.float32) -> Tensor:
        y: Tensor = layer(self.x(dtype), **self.arguments(dtype))
        return y


norm = partial(nn.LayerNorm, eps=1e-5)
vit = partial(Attention, CHANNELS, HEADS, qkv_bias=True)
eva = partial(EvaAttention, CHANNELS, HEADS, norm_layer=norm)
CASES = (
    Case("linear", lambda: nn.Linear(CHANNELS, 10), tokens),
    Case("linear-without-bias", lambda: nn.Linear(CHANNELS, 10, bias=False), tokens),
    Case("conv", lambda: nn.Conv2d(4, 6, 3, padding=1), image),
    Case("conv-patches", lambda: nn.Conv2d(4, 6, 3, 3, bias=False), image),
    Case("conv-same", lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=2), image),
    Case("conv-same-uneven", lambda: nn.Conv2d(4, 6, (2, 4), padding="same"), image),
    Case("conv-valid", lambda: nn.Conv2d(4, 6, 3, padding="valid"), image),
    Case("conv-reflect", lambda: nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode="reflect"), image),
    Case("conv-circular", lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular", stride=2), image),
    Case("conv-replicate", lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"), image),
    Case("conv-groups", lambda: nn.Conv2d(4, 6, 3, groups=2, padding=(0, 1)), image),
    Case("conv-depthwise", lambda: nn.Conv2d(4, 8, 3, groups=4, stride=(1, 2)), image),
    Case("embedding", lambda: nn.Embedding(11, 6), words),
    Case("embedding-with-padding", lambda: nn.Embedding(11, 6, padding_idx=0), words),
    Case("attention", lambda: fused(vit()), tokens),
    Case("attention-by-hand", lambda: by_hand(vit()), tokens),
    Case("attention-normalised", lambda: fused(biased(vit(qk_norm=True, scale_norm=True, norm_layer=norm))), tokens),
    Case("attention-gated", lambda: biased(vit(gated=True, proj_bias=False)), tokens),
    Case("attention-of-another-width", lambda: vit(attn_head_dim=4, dim_out=10), tokens),
    Case("attention-masked", vit, tokens, {"attn_mask": some_keys}),
    Case("attention-masked-by-terms", vit, tokens, {"attn_mask": lambda: some_keys(torch.float32)}),
    Case("attention-masked-by-hand", lambda: by_hand(vit()), tokens, {"attn_mask": some_keys}),
    Case("attention-causal", lambda: fused(vit()), tokens, {"is_causal": True}),
    Case("attention-causal-by-hand", lambda: by_hand(vit()), tokens, {"is_causal": True}),
    Case("window", lambda: biased(WindowAttention(CHANNELS, HEADS, window_size=4)), tokens),
    Case("window-masked", lambda: biased(WindowAttention(CHANNELS, HEADS, window_size=4)), tokens, {"mask": apart}),
    Case("cosine", lambda: biased(CosineAttention(CHANNELS, (4, 4), HEADS)), tokens),
    Case("cosine-masked", lambda: biased(CosineAttention(CHANNELS, (4, 4), HEADS)), tokens, {"mask": apart}),
    Case(
        "cosine-separate",
        lambda: biased(CosineAttention(CHANNELS, (4, 4), HEADS, qkv_bias_separate=True)),
        tokens,
    ),
    Case("cosine-without-bias", lambda: CosineAttention(CHANNELS, (4, 4), HEADS, qkv_bias=False), tokens),
    Case("eva", lambda: biased(eva(num_prefix_tokens=1)), tokens, {"rope": lambda: rope(AREA - 1)}),
    Case("eva-apart", lambda: biased(eva(qkv_fused=False, scale_norm=False, qk_norm=True)), tokens),
    Case(
        "rotary-shared-keys",
        lambda: AttentionRope(CHANNELS, HEADS, qkv_fused=False, num_kv_heads=1, num_prefix_tokens=0),
        tokens,
        {"rope": rope, "attn_mask": some_keys},
    ),
    Case("beit", lambda: biased(BeitAttention(CHANNELS, HEADS, qkv_bias=True, window_size=(3, 5))), tokens),
    Case("merged", lambda: biased(vit()), tokens, merge=True),
    Case("merged-without-bias", lambda: Attention(CHANNELS, HEADS, qkv_bias=False), tokens, merge=True),
    Case("merged-gated", lambda: biased(vit(gated=True)), tokens, {"attn_mask": some_keys}, merge=True),
    Case("merged-causal", lambda: biased(vit()), tokens, {"is_causal": True}, merge=True),
    Case(
        "merged-window",
        lambda: biased(WindowAttention(CHANNELS, HEADS, window_size=4)),
        tokens,
        {"mask": apart},
        merge=True,
    ),
)
PLAIN = tuple(case for case in CASES if not case.merge)
ATTENTION = tuple(
    case
    for case in CASES
    if case.merge or case.name.split("-")[0] in ("attention", "window", "cosine", "eva", "rotary", "beit")
)
NAMED = {case.name: case for case in CASES}
every = pytest.mark.parametrize("case", CASES, ids=str)
every_plain = pytest.mark.parametrize("case", PLAIN, ids=str)
every_attention = pytest.mark.parametrize("case", ATTENTION, ids=str)


def started(case: Case, dtype: torch.dtype = torch.float32, bits: int = 4) -> Any:
    """The layer with start values from its own input."""
    layer = case.quantized(case.float(dtype), bits)
    with watched(layer) as seen, torch.no_grad():
        case.run(layer.eval(), dtype)
    for quantizer, x in seen:
        quantizer.start(x, "mean_magnitude")
    return layer


@contextmanager
def watched(layer: nn.Module) -> Iterator[list[tuple[Any, Tensor]]]:
    """Every quantizer lets floats through; what came is kept."""
    seen: list[tuple[Any, Tensor]] = []

    def let_through(quantizer: nn.Module, args: tuple[Any, ...], ready: Latent) -> Latent:
        seen.append((quantizer, args[0]))
        return Latent(args[0])

    hooks = [q.register_forward_hook(let_through) for _, _, q in quantizers(layer)]
    yield seen
    for hook in hooks:
        hook.remove()


def owned(layer: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that are not a quantizer's."""
    held = {id(p) for _, _, q in quantizers(layer) for p in q.parameters()}
    return {name: p for name, p in layer.named_parameters() if id(p) not in held}


# ------------------------------------------------------------------------------------------- there and back again


@every_plain
def test_a_layer_shares_the_parameters_of_its_float_original(case: Case) -> None:
    original = case.float()
    before = dict(original.named_parameters())
    layer = quantize(nn.Sequential(original), Plan.uniform(4, 4), inplace=True)[0]
    assert isinstance(layer, QuantLayer)
    assert owned(layer).keys() == before.keys()
    assert all(owned(layer)[name] is parameter for name, parameter in before.items())
    assert layer.training == original.training


@pytest.mark.parametrize("bits", [4, 32])
@every_plain
def test_a_released_layer_is_the_float_layer_to_the_bit_and_carries_nothing_along(case: Case, bits: int) -> None:
    original = case.float().eval()
    outside = {name: set(vars(module)) for name, module in original.named_modules()}
    expected = case.run(original)
    released = dequantize(nn.Sequential(case.quantized(original, bits)), inplace=True)[0]
    assert {name: type(m) for name, m in released.named_modules()} == {
        name: type(m) for name, m in original.named_modules()
    }
    assert {name: set(vars(module)) for name, module in released.named_modules()} == outside
    assert released.state_dict().keys() == original.state_dict().keys()
    assert torch.equal(case.run(released), expected)


@pytest.mark.parametrize("bits", [4, 32])
@every_plain
def test_a_released_layer_can_be_quantized_again(case: Case, bits: int) -> None:
    layer = case.quantized(case.float(), bits)
    again = type(layer).adopt(layer.release())
    assert not again.quantizers()
    assert again.state_dict().keys() >= layer.release().state_dict().keys()


@every
def test_a_layer_never_touches_its_original(case: Case) -> None:
    original = case.float()
    before = {k: v.clone() for k, v in original.state_dict().items()}
    kind, inside = type(original), {name: type(m) for name, m in original.named_modules()}
    layer = case.quantized(original)
    case.run(layer).sum().backward()
    assert type(original) is kind
    assert {name: type(m) for name, m in original.named_modules()} == inside
    assert all(p.grad is None for p in original.parameters())
    assert all(torch.equal(v, before[k]) for k, v in original.state_dict().items())


# -------------------------------------------------------------------------------------------------- at 32 bits


@pytest.mark.parametrize("training", [False, True])
@every_plain
def test_at_32_bits_no_output_bit_changes(case: Case, training: bool) -> None:
    for dtype, context in (
        (torch.float32, nullcontext()),
        (torch.float64, nullcontext()),
        (torch.float32, torch.autocast("cpu", torch.bfloat16)),
    ):
        original = case.float(dtype).train(training)
        layer = case.quantized(original, 32)
        assert isinstance(layer, QuantLayer) and not list(quantizers(layer))
        with context:
            assert torch.equal(case.run(layer, dtype), case.run(original, dtype))


@every_attention
def test_attention_that_lets_floats_through_computes_the_float_function(case: Case) -> None:
    original = case.float(torch.float64).eval()
    layer = case.quantized(original).eval()
    with watched(layer) as seen:
        found = case.run(layer, torch.float64)
    assert len(seen) >= 8 - 2 * case.merge, "the products were not on the path that quantizes"
    expected = case.run(original, torch.float64)
    assert (found - expected).abs().max() <= 1e-13 * expected.abs().max() * CHANNELS


# ------------------------------------------------------------------------------------------------- state and copies


@every
def test_the_state_dict_has_the_names_of_the_float_layer_and_the_quantizers_beside_them(case: Case) -> None:
    original = case.float()
    layer = case.quantized(original)
    names = set(layer.state_dict())
    beside = {f"{'.'.join(filter(None, (name, role)))}_quantizer" for name, role, _ in quantizers(layer)}
    assert beside
    rest = {n for n in names if not any(n.startswith(f"{b}.") for b in beside)}
    if case.merge:
        fused_names = {n for n in original.state_dict() if n.startswith("qkv.")}
        assert {n for n in rest if not n.startswith(("qk.", "v."))} == set(original.state_dict()) - fused_names
    else:
        assert rest == set(original.state_dict())
    assert all("quantizer" in n for n in names - rest)


@every
def test_all_state_exists_before_the_first_forward_pass(case: Case) -> None:
    layer = case.quantized(case.float())
    before = {k: (tuple(v.shape), v.dtype) for k, v in layer.state_dict().items()}
    case.run(layer.train()).sum().backward()
    assert {k: (tuple(v.shape), v.dtype) for k, v in layer.state_dict().items()} == before
    other = case.quantized(case.float())
    other.load_state_dict(layer.state_dict(), strict=True)
    assert torch.equal(case.run(other.eval()), case.run(layer.eval()))


@every
def test_a_deep_copy_computes_the_same_and_shares_nothing(case: Case) -> None:
    layer = started(case)
    twin = deepcopy(layer)
    assert torch.equal(case.run(twin), case.run(layer))
    assert not {t.data_ptr() for t in twin.state_dict().values()} & {t.data_ptr() for t in layer.state_dict().values()}
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1.0)
    assert not torch.equal(case.run(twin), case.run(layer))


@every
def test_a_layer_works_on_the_meta_device(case: Case) -> None:
    with torch.device("meta"):
        layer = case.quantized(case.make())
        assert all(t.is_meta for t in (*layer.parameters(), *layer.buffers()))
        arguments = {k: v.to("meta") if isinstance(v, Tensor) else v for k, v in case.arguments().items()}
        y = layer(case.x().to("meta"), **arguments)
    assert y.is_meta
    assert y.shape == case.run(case.float()).shape
    y.sum().backward()


@every
def test_the_repr_of_a_layer_shows_its_bits(case: Case) -> None:
    assert "=3" in repr(case.quantized(case.float(), 3))
    assert "float" in repr(case.quantized(case.float(), 32)) or case.merge


# ------------------------------------------------------------------------------------------------------- precision


@every
def test_a_float64_layer_computes_in_float64(case: Case) -> None:
    layer = started(case, torch.float64)
    y = case.run(layer, torch.float64)
    assert y.dtype == torch.float64
    assert {q.scale.dtype for _, _, q in quantizers(layer)} == {torch.float64}
    y.sum().backward()
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float64}


@every
def test_under_autocast_products_are_bfloat16_and_scales_stay_float32(case: Case) -> None:
    layer = started(case, bits=8).train()
    exact = case.run(layer)
    with torch.autocast("cpu", torch.bfloat16):
        y = case.run(layer)
    assert y.dtype == (torch.float32 if isinstance(layer, QuantEmbedding) else torch.bfloat16)
    assert {q.scale.dtype for _, _, q in quantizers(layer)} == {torch.float32}
    y.float().sum().backward()
    assert {p.grad.dtype for p in layer.parameters() if p.grad is not None} == {torch.float32}
    assert (y - exact).norm() <= 0.1 * exact.norm()


@every
def test_a_bfloat16_layer_keeps_its_type_and_its_scales_in_float32(case: Case) -> None:
    layer = case.quantized(case.float(torch.bfloat16))
    y = case.run(layer, torch.bfloat16)
    assert y.dtype == torch.bfloat16
    assert {q.scale.dtype for _, _, q in quantizers(layer)} == {torch.float32}
    y.sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.dtype == parameter.dtype, name


@pytest.mark.parametrize("bits", [4, 8])
def test_under_float16_autocast_nothing_overflows(bits: int) -> None:
    """255 * 127 * 3 is more than float16 holds: sums of codes are too large for it, the values they stand for not."""
    case = Case("wide", lambda: nn.Linear(768, 8), lambda: nn.functional.gelu(tokens().repeat(1, 1, 32)))
    layer = case.quantized(case.float(), bits)
    layer.input_quantizer.start(case.x())
    exact = case.run(layer)
    with torch.autocast("cpu", torch.float16):
        y = case.run(layer)
    assert y.isfinite().all()
    assert (y - exact).abs().max() <= 2**-9 * exact.abs().max()
    y.float().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in layer.parameters())


# ------------------------------------------------------------------------------------------------ training and eval


@every
def test_every_parameter_gets_a_finite_gradient(case: Case) -> None:
    layer = started(case).train()
    y = case.run(layer)
    (y * torch.randn_like(y)).sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("size", [0, 1])
@every
def test_a_batch_may_have_one_sample_or_none(case: Case, size: int) -> None:
    if size == 0 and case.name == "eva-apart":
        pytest.skip("the float layer cannot either")
    layer = started(case)
    x = case.x()[:size]
    arguments = case.arguments()
    if "mask" in arguments:
        arguments["mask"] = arguments["mask"][:1]
    y = layer(x, **arguments)
    assert y.shape[0] == size
    y.sum().backward()


@every_attention
def test_dropout_acts_in_training_and_not_in_eval(case: Case) -> None:
    layer = started(case)
    layer.attn_drop.p = 0.5
    layer.eval()
    assert torch.equal(case.run(layer), case.run(layer))
    layer.train()
    assert not torch.equal(case.run(layer), case.run(layer))


@every_attention
def test_a_dropped_probability_has_code_zero(case: Case) -> None:
    layer = started(case)
    layer.attn_drop.p = 0.5
    assert (codes(case, layer.train()) == 0).double().mean() > 0.4


def codes(case: Case, layer: Any) -> Tensor:
    """The codes of the probabilities of one forward pass."""
    found: list[Tensor] = []
    hook = layer.probability_quantizer.register_forward_hook(lambda q, args, ready: found.append(ready.code()))
    case.run(layer)
    hook.remove()
    return found[0]


@pytest.mark.parametrize("bits", [1, 2, 8])
@pytest.mark.parametrize("name", [c.name for c in ATTENTION if c.call.keys() & {"mask", "attn_mask", "is_causal"}])
def test_a_masked_probability_has_exactly_code_zero(name: str, bits: int) -> None:
    case = NAMED[name]
    found = codes(case, started(case, bits=bits))
    arguments = case.arguments()
    if "mask" in arguments:
        hidden = (arguments["mask"] != 0).repeat(found.size(0) // 2, 1, 1).unsqueeze(1)
    elif "is_causal" in arguments:
        hidden = torch.ones(AREA, AREA, dtype=torch.bool).triu(1)
    else:
        mask = arguments["attn_mask"]
        hidden = ~mask if mask.dtype == torch.bool else mask == float("-inf")
    assert (found[hidden.expand_as(found)] == 0).all()
    assert (found > 0).any()


def test_no_gradient_leaks_through_a_mask() -> None:
    layer = started(NAMED["attention-causal"])
    x = tokens().requires_grad_()
    layer(x, is_causal=True)[:, 3].sum().backward()
    assert x.grad is not None
    assert (x.grad[:, 4:] == 0).all() and (x.grad[:, :4] != 0).any()


# ---------------------------------------------------------------------------------------------------- what is special


def test_an_unknown_quantizer_role_is_a_mistake_of_ours() -> None:
    with pytest.raises(AssertionError, match="query"):
        type(NAMED["linear"].quantized(nn.Linear(2, 2))).adopt(nn.Linear(2, 2), query_quantizer=None)


@pytest.mark.parametrize("name", ["conv-same", "conv-same-uneven", "conv"])
@pytest.mark.parametrize("input", [Spec(1), Spec(4, range="shifted")], ids=["mid-rise", "shifted"])
def test_zero_padding_adds_zeros_on_every_grid(name: str, input: Spec) -> None:
    """Also where zero is no point of the grid: the padding of a mid-rise or shifted image is zero all the same."""
    original: Any = NAMED[name].float(torch.float64)
    rules = (Rule("*", LayerSpec(Spec(4, granularity=per_channel), input)),)
    layer = quantize(nn.Sequential(original), Plan(rules))[0]
    x = image().double()
    values, kernel = layer.input_quantizer(x).value(), layer.weight_quantizer(layer.weight).value()
    ends = original._reversed_padding_repeated_twice
    expected = nn.functional.conv2d(
        nn.functional.pad(values, ends), kernel, original.bias, original.stride, 0, original.dilation, original.groups
    )
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_padding_of_an_embedding_stays_zero_and_untrained() -> None:
    layer = started(NAMED["embedding-with-padding"])
    rows = layer(words())
    assert (rows[words() == 0] == 0).all()
    rows.square().sum().backward()
    assert (layer.weight.grad[0] == 0).all() and (layer.weight.grad[3] != 0).any()


def test_rows_of_an_embedding_are_the_values_of_the_table() -> None:
    for granularity in (per_channel, Spec().granularity):
        rules = (Rule("*", LayerSpec(Spec(3, granularity=granularity), Spec(32))),)
        layer = quantize(nn.Sequential(NAMED["embedding"].float()), Plan(rules))[0]
        assert torch.equal(layer(words()), layer.weight_quantizer(layer.weight).value()[words()])


def test_an_activation_layer_snaps_what_passes_or_lets_it_pass() -> None:
    x = tokens()
    layer = QuantActivation(LSQ(Grid(3), (1,)))
    assert torch.equal(layer(x), layer.input_quantizer(x).value())
    assert QuantActivation(None)(x) is x
    assert "input=3" in repr(layer)


def test_a_merged_attention_snaps_its_input_once() -> None:
    layer = started(NAMED["merged"])
    assert isinstance(layer, MergedAttention) and layer.v.shares_input
    with watched(layer) as seen:
        NAMED["merged"].run(layer)
    inputs = [x for q, x in seen if q is layer.qk.input_quantizer]
    assert len(inputs) == 1 and torch.equal(inputs[0], tokens())
    assert {role for role in layer.quantizers()} == {"query", "value", "probability"}


@pytest.mark.parametrize("granularity", [per_tensor, per_head, per_channel, per_token, per_group(4)], ids=str)
@pytest.mark.parametrize("name", ["window", "cosine", "merged-window"])
def test_operands_of_attention_take_every_granularity(name: str, granularity: Granularity) -> None:
    """In a window the number of tokens is fixed, so even a key may have its own scale."""
    case, spec = NAMED[name], Spec(8, granularity=granularity)
    rules = (Rule("@attention", AttentionSpec.all(spec, merge=case.merge)),)
    original = case.float(torch.float64)
    layer = quantize(nn.Sequential(original), Plan(rules))[0]
    with watched(layer) as seen:
        expected = case.run(layer, torch.float64)
    for quantizer, x in seen:
        quantizer.start(x.detach(), "minmax")
        assert quantizer.scale.numel() == 1 or granularity != per_tensor
    y = case.run(layer, torch.float64)
    assert (y - expected).norm() <= 0.02 * expected.norm()
    y.sum().backward()
    assert all(q.scale.grad.isfinite().all() for _, _, q in quantizers(layer))


@pytest.mark.parametrize("merge", [False, True])
def test_attention_of_another_width_takes_scales_for_every_channel(merge: bool) -> None:
    every_channel = Spec(4, granularity=per_channel)
    rules = (Rule("@attention", AttentionSpec(every_channel, every_channel, every_channel, Spec(4), merge=merge)),)
    layer = quantize(nn.Sequential(NAMED["attention-of-another-width"].float()), Plan(rules))[0]
    assert layer(tokens()).shape == (4, AREA, 10)


# ------------------------------------------------------------------------------------------------------ compilation

SLOW = ("window-masked", "rotary-shared-keys", "merged-gated", "beit", "attention-normalised")
COMPILED = (
    *("conv-same", "embedding", "attention-masked", "cosine-masked"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW),
)


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_layer_agrees_with_eager_forward_and_backward(name: str) -> None:
    torch._dynamo.reset()
    case = NAMED[name]
    layer = started(case, torch.float64).train()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, arguments = case.x(torch.float64), case.arguments(torch.float64)
    upstream = torch.randn_like(case.run(layer, torch.float64))
    results = []
    for run in (layer, compiled):
        layer.zero_grad()
        leaf = x.clone().requires_grad_(x.is_floating_point())
        y = run(leaf, **arguments)
        y.backward(upstream)
        results.append([y.detach(), leaf.grad, *(p.grad for p in layer.parameters())])
    for eager, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, eager, rtol=1e-11, atol=1e-11)


def test_attention_that_is_float_inside_runs_the_code_of_the_float_class(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = NAMED["attention"].quantized(NAMED["attention"].float(), 32)
    assert isinstance(layer, QuantAttention) and layer.is_float()
    called = []
    monkeypatch.setattr(Attention, "forward", lambda self, x, **_: called.append(x) or x)
    layer(tokens())
    assert called
