"""The query-key merge keeps the float function, to the last rounding, biases included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.layers import Attention, AttentionRope
from timm.models.eva import EvaAttention
from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel
from stillbit.layers.merged_attention import MergedAttention
from stillbit.surgery.qk_reparam import merge
from stillbit.surgery.timm_swin import MergedSwinAttention
from stillbit.surgery.timm_vit import MergedViTAttention
from tests.surgery import tiny

FLOAT = Plan.uniform(32, 32, merge=True)


def with_biases(model: nn.Module) -> nn.Module:
    """In float64, with biases as large as activations: timm starts them at zero."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.copy_(torch.randn(parameter.shape))
    return model.double().eval()


@pytest.mark.parametrize(
    "make",
    [
        tiny.vit,
        tiny.deit,
        lambda: tiny.vit(qkv_bias=False),
        lambda: tiny.vit(reg_tokens=3, init_values=0.5),
        tiny.swin,
        lambda: tiny.swin(qkv_bias=False),
    ],
)
def test_a_merged_model_at_32_bits_computes_the_float_function(make: Callable[[], nn.Module]) -> None:
    model = with_biases(make())
    merged = stillbit.quantize(model, FLOAT)
    assert any(isinstance(m, MergedAttention) for m in merged.modules())
    x = tiny.images(4, torch.float64)
    with torch.no_grad():
        expected, found = (torch.cat(y) if isinstance(y, tuple) else y for y in (model(x), merged(x)))
    assert (found - expected).abs().max() <= 1e-12 * max(1.0, float(expected.abs().max()))


def both(kind: type[nn.Module] = Attention) -> tuple[nn.Module, Any, Tensor]:
    if kind is Attention:
        original, into = Attention(24, 3, qkv_bias=True), MergedViTAttention
    else:
        original, into = WindowAttention(24, 3, window_size=4), MergedSwinAttention
    original = with_biases(original)
    return original, merge(original, into), torch.randn(2, 16, 24, dtype=torch.float64)


@pytest.mark.parametrize("kind", [Attention, WindowAttention])
def test_without_the_query_bias_it_would_be_another_function(kind: type[nn.Module]) -> None:
    original, merged, x = both(kind)
    expected = original(x)
    assert (merged(x) - expected).abs().max() <= 1e-12
    with torch.no_grad():
        merged.qk.bias.zero_()
    assert (merged(x) - expected).abs().max() > 0.01, "this test could not see a dropped b_q W_k x"


def test_its_gradients_are_those_of_the_formula_written_out() -> None:
    original, merged, x = both()
    x.requires_grad_()
    heads, scale = merged.num_heads, merged.scale
    merged(x).square().sum().backward()
    found = [t.grad.clone() for t in (x, merged.qk.weight, merged.qk.bias, merged.v.weight, merged.v.bias)]

    inputs = [t.detach().clone().requires_grad_() for t in (x, *merged.qk.parameters(), *merged.v.parameters())]
    tokens, qk, c, v, b = inputs
    mixed = []
    for head in range(heads):
        rows = slice(head * 24, (head + 1) * 24)
        logits = (tokens @ qk[rows].T + c[rows]) @ tokens.mT * scale
        mine = slice(head * 8, (head + 1) * 8)
        mixed.append(logits.softmax(-1) @ (tokens @ v[mine].T + b[mine]))
    torch.nn.functional.linear(torch.cat(mixed, -1), original.proj.weight, original.proj.bias).square().sum().backward()
    for mine, wanted in zip(found, inputs, strict=True):
        torch.testing.assert_close(mine, wanted.grad, rtol=1e-10, atol=1e-10)


def test_the_key_bias_moves_all_logits_of_a_query_alike_and_is_not_needed() -> None:
    original: Any
    original, merged, x = both()
    with torch.no_grad():
        original.qkv.bias[24:48] += 5.0
    assert (merged(x) - original(x)).abs().max() <= 1e-11


def test_the_merged_matrix_is_the_product_of_key_and_query_a_head() -> None:
    original: Any
    original, merged, _ = both()
    q, k, v = original.qkv.weight.view(3, 3, 8, 24)
    for head in range(3):
        assert torch.allclose(
            merged.qk.weight[24 * head : 24 * (head + 1)], k[head].T @ q[head], rtol=1e-13, atol=1e-14
        )
    assert torch.equal(merged.v.weight, v.flatten(0, 1))
    assert torch.equal(merged.v.bias, original.qkv.bias[48:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_product_is_computed_in_float64_and_keeps_the_type_of_the_layer(dtype: torch.dtype) -> None:
    original: Any = Attention(24, 3, qkv_bias=True).to(dtype)
    merged = merge(original, MergedViTAttention)
    assert {p.dtype for p in merged.parameters()} == {dtype}
    q, k, _ = original.qkv.weight.double().view(3, 3, 8, 24)
    assert torch.equal(merged.qk.weight, (k.mT @ q).flatten(0, 1).to(dtype))


def test_the_original_is_left_as_it_is_and_shares_what_is_not_merged() -> None:
    original: Any
    original, merged, _ = both()
    assert type(original) is Attention and "qkv" in dict(original.named_children())
    assert merged.proj is original.proj and "qkv" not in dict(merged.named_children())


@pytest.mark.parametrize("options", [{"gated": True}, {"attn_head_dim": 4}, {"scale_norm": True}])
@pytest.mark.parametrize("call", [{}, {"is_causal": True}, {"attn_mask": torch.ones(16, 16, dtype=torch.bool).tril(3)}])
def test_everything_around_the_products_is_kept(options: dict[str, Any], call: dict[str, Any]) -> None:
    original = with_biases(Attention(24, 3, qkv_bias=True, norm_layer=nn.LayerNorm, **options))
    x = torch.randn(2, 16, 24, dtype=torch.float64)
    merged = merge(original, MergedViTAttention)
    assert (merged(x, **call) - original(x, **call)).abs().max() <= 1e-12


@pytest.mark.parametrize("norm", ["q_norm", "k_norm"])
def test_a_norm_between_query_and_key_forbids_the_merge(norm: str) -> None:
    attention = Attention(24, 3)
    setattr(attention, norm, nn.LayerNorm(8))
    with pytest.raises(ValueError, match=f"cannot be merged where {norm} stands between them: .*merge=False"):
        merge(attention, MergedViTAttention)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (tiny.registers, r"^blocks.0.attn: query and key cannot be merged where q_norm stands between them"),
        (tiny.swin_v2, r"^layers.0.blocks.0.attn: .*cannot merge.* query and key.*cosine.*merge=False"),
        (tiny.eva, r"^blocks.0.attn: .*cannot merge.*merge=False"),
    ],
)
def test_a_model_that_cannot_be_merged_is_refused_with_the_reason(make: Callable[[], nn.Module], why: str) -> None:
    model = make()
    before = [type(m) for m in model.modules()]
    with pytest.raises(ValueError, match=why):
        stillbit.quantize(model, Plan.uniform(4, 4, merge=True), inplace=True)
    assert [type(m) for m in model.modules()] == before


def test_rotary_attention_is_not_taken_for_one_that_can_be_merged() -> None:
    for attention in (AttentionRope(24, 3), EvaAttention(24, 3, norm_layer=nn.LayerNorm)):
        with pytest.raises(ValueError, match="merge=False"):
            stillbit.quantize(nn.Sequential(attention), FLOAT)


def test_only_some_blocks_may_be_merged() -> None:
    spec = Spec(4)
    plan = Plan.uniform(4, 4).but(Rule("blocks.1.attn", AttentionSpec.all(spec, merge=True)))
    model = stillbit.quantize(tiny.vit(), plan)
    assert [isinstance(b.attn, MergedAttention) for b in model.blocks] == [False, True]
    stillbit.calibrate(model, [tiny.images()])
    model(tiny.images()).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_a_merged_attention_has_four_quantized_tensors_and_one_grid_for_its_input() -> None:
    plan = Plan.uniform(4, 4, merge=True, granularity=stillbit.per_head)
    attention: Any = stillbit.quantize(tiny.vit(depth=1), plan).blocks[0].attn
    assert attention.qk.weight_quantizer.scale.shape == (3, 1) and attention.v.weight_quantizer.scale.shape == (3, 1)
    assert attention.qk.input_quantizer is not None and attention.v.input_quantizer is None
    assert attention.query_quantizer is not None and attention.key_quantizer is None


def test_linears_that_no_rule_speaks_of_stay_plain() -> None:
    model: Any = stillbit.quantize(
        tiny.vit(depth=1), Plan((Rule("@attention", AttentionSpec.all(Spec(4), merge=True)),))
    )
    assert type(model.blocks[0].attn.qk) is nn.Linear
    layers = LayerSpec(Spec(4, granularity=per_channel), Spec(32))
    weights: Any = stillbit.quantize(tiny.vit(depth=1), FLOAT.but(Rule("@qkv", layers)))
    assert weights.blocks[0].attn.v.weight_quantizer is not None and not weights.blocks[0].attn.v.shares_input
    assert weights(tiny.images()).isfinite().all()
