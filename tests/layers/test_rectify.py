"""Rectified query and key, against a loop over heads in float64; and what it is good for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from timm.layers import Attention
from timm.models.swin_transformer import WindowAttention
from torch import Tensor, nn

from stillbit import AttentionSpec, Plan, Rule, Spec, calibrate, dequantize, quantize
from stillbit.layers.attention import QuantAttention
from stillbit.layers.rectify import EPSILON, Rectify
from stillbit.quantizers import LSQ, Grid

SHAPE = (2, 3, 5, 4)


def rectify(heads: int = 3) -> Rectify:
    layer = Rectify(heads).double()
    with torch.no_grad():
        layer.gamma.copy_(torch.rand(heads) + 0.5)
        layer.beta.copy_(torch.randn(heads))
    return layer


def by_loop(x: Tensor, gamma: list[float], beta: list[float]) -> Tensor:
    """The equation of the paper, one head of one sample at a time."""
    y = torch.zeros_like(x)
    for sample in range(x.size(0)):
        for head in range(x.size(1)):
            numbers = x[sample, head].flatten().tolist()
            mean = sum(numbers) / len(numbers)
            variance = sum((n - mean) ** 2 for n in numbers) / len(numbers)
            below = gamma[head] * math.sqrt(variance + EPSILON)
            y[sample, head] = (x[sample, head] - mean + beta[head]) / below
    return y


def test_it_is_the_equation_of_the_paper_head_by_head() -> None:
    layer, x = rectify(), torch.randn(SHAPE, dtype=torch.float64) * 3 + 1
    expected = by_loop(x, layer.gamma.tolist(), layer.beta.tolist())
    torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


def test_its_gradients_are_those_of_finite_differences() -> None:
    layer = rectify()
    x = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        return torch.func.functional_call(layer, {"gamma": gamma, "beta": beta}, (x,))

    assert torch.autograd.gradcheck(run, (x, *layer.parameters()))


def test_what_a_sample_gets_does_not_depend_on_the_others() -> None:
    layer, x = rectify(), torch.randn(SHAPE, dtype=torch.float64)
    assert torch.equal(layer(x)[:1], layer(x[:1]))
    assert torch.equal(layer.train()(x), layer.eval()(x))


def test_it_begins_as_near_to_no_change_as_can_be() -> None:
    """What is alike in all samples passes; for what differs no other gamma and beta lose less."""
    alike = torch.randn(1, *SHAPE[1:], dtype=torch.float64).expand(SHAPE)
    layer = Rectify(3).double()
    layer.start(alike)
    torch.testing.assert_close(layer(alike), alike, rtol=1e-12, atol=1e-12)

    x = torch.randn(64, 3, 5, 4, dtype=torch.float64) * (1 + torch.arange(3).reshape(3, 1, 1)) + 0.5
    layer.start(x)
    error = (layer(x) - x).square().mean()
    assert error < 0.1 * x.square().mean()
    for name, off in (("gamma", 0.98), ("gamma", 1.02), ("beta", 0.95), ("beta", 1.05)):
        other = rectify()
        other.load_state_dict(layer.state_dict())
        with torch.no_grad():
            getattr(other, name).mul_(off)
        assert (other(x) - x).square().mean() > error


def test_a_head_of_zeros_and_an_empty_batch_stay_finite() -> None:
    layer = Rectify(3)
    x = torch.zeros(2, 3, 4, 5, requires_grad=True)
    layer.start(x)
    y = layer(x)
    y.sum().backward()
    for tensor in (y, x.grad, layer.gamma, layer.gamma.grad, layer.beta.grad):
        assert tensor is not None and tensor.isfinite().all()
    assert layer(torch.zeros(0, 3, 4, 5)).shape == (0, 3, 4, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_it_keeps_the_type_and_takes_its_statistics_in_at_least_float32(dtype: torch.dtype) -> None:
    layer = Rectify(3).to(dtype)
    x = (torch.randn(2, 3, 400, 20, dtype=torch.float64) + 30).to(dtype)
    y = layer(x)
    assert y.dtype == dtype and y.isfinite().all()
    assert y.double().mean().abs() < 0.05 and abs(y.double().std().item() - 1) < 0.05


def entropy(codes: Tensor) -> float:
    """Bits of information in a code of one head of one sample, on average."""
    found = []
    for rows in codes.flatten(0, 1):
        share = rows.flatten().unique(return_counts=True)[1].double() / rows.numel()
        found.append(-(share * share.log2()).sum().item())
    return sum(found) / len(found)


def test_codes_say_more_where_heads_and_samples_are_skewed() -> None:
    """One scale for heads and samples of all sizes: most fall into one or two codes. Rectified they use them all."""
    size = torch.logspace(-1.5, 1, 48, dtype=torch.float64).reshape(16, 3, 1, 1)
    x = torch.randn(16, 3, 50, 8, dtype=torch.float64) * size + size
    layer = Rectify(3).double()
    layer.start(x)
    entropies = []
    for tensor in (x, layer(x)):
        quantizer = LSQ(Grid(2), (1,)).double()
        quantizer.start(tensor)
        entropies.append(entropy(quantizer(tensor).code()))
    assert entropies[0] < 1 and entropies[1] > 1.5


# --------------------------------------------------------------------------------------------- inside attention

ATTENTIONS = {
    "vit": lambda: Attention(24, 3, qkv_bias=True),
    "window": lambda: WindowAttention(24, 3, window_size=4),
}


def rectified(kind: str, bits: int = 8) -> Any:
    torch.manual_seed(0)
    plan = Plan.uniform(8, 8, ends=8).but(Rule("@attention", AttentionSpec.all(Spec(bits), rectify=True)))
    return quantize(nn.Sequential(ATTENTIONS[kind]()).double(), plan)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_attention_rectifies_query_and_key_before_it_quantizes_them(kind: str) -> None:
    model, x = rectified(kind), torch.randn(4, 16, 24, dtype=torch.float64)
    layer = model[0]
    assert isinstance(layer, QuantAttention) and isinstance(layer.query_rectify, Rectify)
    with torch.no_grad():
        layer.key_rectify.gamma.fill_(0.5)
    seen: dict[str, list[Tensor]] = {"query": [], "key": []}
    for role, found in seen.items():
        getattr(layer, f"{role}_quantizer").register_forward_hook(lambda q, args, ready, to=found: to.append(args[0]))
    model(x)
    q, k, _ = layer.split(layer.qkv(x))
    torch.testing.assert_close(seen["query"][0], by_loop(q, [1.0] * 3, [0.0] * 3), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(seen["key"][0], by_loop(k, [0.5] * 3, [0.0] * 3), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_calibrated_it_is_close_to_the_float_attention(kind: str) -> None:
    model, x = rectified(kind), torch.randn(16, 16, 24, dtype=torch.float64)
    with torch.no_grad():
        before = model(x)
        calibrate(model, [x])
        exact = dequantize(model)(x)
        assert (model(x) - exact).norm() < 0.1 * exact.norm() < (before - exact).norm()
    model(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_float_products_are_rectified_too() -> None:
    model, x = rectified("vit", bits=32), torch.randn(4, 16, 24, dtype=torch.float64)
    assert not model[0].is_float()
    y = model(x)
    with torch.no_grad():
        model[0].query_rectify.gamma.mul_(0.25)
    assert not torch.allclose(model(x), y)


def test_a_released_attention_carries_no_rectification_along() -> None:
    model = rectified("vit")
    names = {name for name, _ in model.named_parameters() if "rectify" in name}
    assert names == {f"0.{role}_rectify.{name}" for role in ("query", "key") for name in ("gamma", "beta")}
    released = dequantize(model)[0]
    assert type(released) is Attention and not any("rectify" in name for name in vars(released))
    assert released.state_dict().keys() == ATTENTIONS["vit"]().state_dict().keys()


def test_its_words_say_how_many_heads() -> None:
    assert repr(Rectify(3)) == "Rectify(heads=3)"
