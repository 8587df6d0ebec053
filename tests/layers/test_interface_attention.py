"""Attention through a function that a config names: what a mask hides has code zero, whatever the quantizer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit.layers.interface_attention import INTERFACE, InterfaceAttention, attend, hide, masked
from stillbit.quantizers import LSQ, Elastic, Grid, Latent, LSQPlus, Quantizer
from stillbit.quantizers.granularity import per_head, per_tensor
from stillbit.quantizers.spec import METHODS, Spec, build

HEADS, WIDTH, TOKENS = 2, 4, 6


def plainly(module: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scaling: float) -> Any:
    logits = q @ k.mT * scaling
    p = (logits if mask is None else logits.masked_fill(~mask, -torch.inf)).softmax(-1)
    return (p @ v).transpose(1, 2), p


class Plain(nn.Module):
    """The least that an attention with such an interface is."""

    def __init__(self) -> None:
        super().__init__()
        self.num_attention_heads, self.attention_head_size = HEADS, WIDTH
        self.config = SimpleNamespace(_attn_implementation_internal="plain")
        self.qkv = nn.Linear(8, 3 * HEADS * WIDTH)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        function = {"plain": plainly, INTERFACE: attend}[self.config._attn_implementation_internal]
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4)
        mixed, p = function(self, q, k, v, mask, scaling=WIDTH**-0.5)
        return mixed.flatten(2), p


class QuantPlain(InterfaceAttention, Plain):
    pass


OPERANDS = ("query", "key", "value", "probability")


def quantizer(bits: int, operand: str, name: str = "lsq") -> Quantizer | None:
    return build(Spec(bits, name), "activation", (1,), "unsigned" if operand == "probability" else "signed")


def layer(bits: int = 4, probability: Quantizer | None = None) -> Any:
    torch.manual_seed(0)
    held = {f"{operand}_quantizer": quantizer(bits, operand) for operand in OPERANDS}
    if probability is not None:
        held["probability_quantizer"] = probability
    return QuantPlain.adopt(Plain(), **held).double().eval()


def tokens() -> Tensor:
    return torch.randn(2, TOKENS, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def seen() -> Tensor:
    mask = torch.ones(2, 1, TOKENS, TOKENS, dtype=torch.bool)
    mask[1, ..., 4:] = False
    return mask


# ---------------------------------------------------------------------------------------------- whose function it asks


def test_what_is_float_inside_keeps_the_config_of_its_model_and_its_own_function() -> None:
    model = Plain().double()
    of = QuantPlain.adopt(model)
    assert of.config is model.config
    for mine, theirs in zip(of(tokens(), seen()), model(tokens(), seen()), strict=True):
        assert torch.equal(mine, theirs)


def test_what_is_quantized_asks_for_our_function_and_its_model_does_not() -> None:
    model = Plain()
    of = QuantPlain.adopt(model, query_quantizer=LSQ(Grid(4), (1,)))
    assert of.config._attn_implementation_internal == INTERFACE
    assert model.config._attn_implementation_internal == "plain"
    assert isinstance(of, Plain) and of.num_heads == HEADS and of.width == WIDTH


def test_what_is_released_shares_the_config_of_its_model_again() -> None:
    model = Plain()
    back = QuantPlain.adopt(model, query_quantizer=LSQ(Grid(4), (1,))).release()
    assert type(back) is Plain and back.config is model.config
    assert set(vars(back)) == set(vars(model))


def test_the_products_are_those_of_the_float_class_where_nothing_is_rounded() -> None:
    of = layer()
    for role in of.roles:
        setattr(of, role, None)
    for mask in (None, seen()):
        for mine, theirs in zip(of(tokens(), mask), Plain.forward(of.release(), tokens(), mask), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_without_a_scaling_it_is_the_root_of_the_width() -> None:
    of, (q, k, v) = layer(), torch.randn(3, 2, HEADS, TOKENS, WIDTH, dtype=torch.float64)
    given = attend(of, q, k, v, None, WIDTH**-0.5)
    assert all(torch.equal(a, b) for a, b in zip(attend(of, q, k, v, None), given, strict=True))


def test_probabilities_come_back_before_they_snap() -> None:
    _, p = layer()(tokens(), seen())
    torch.testing.assert_close(p.sum(-1), torch.ones_like(p.sum(-1)))
    assert p.unique().numel() > 16


def test_dropout_works_in_training_only() -> None:
    of, (q, k, v) = layer(), torch.randn(3, 2, HEADS, TOKENS, WIDTH, dtype=torch.float64)
    assert (attend(of, q, k, v, None, dropout=0.5)[1] > 0).all()
    assert (attend(of.train(), q, k, v, None, dropout=0.5)[1] == 0).any()


def test_a_causal_call_is_refused() -> None:
    q = torch.randn(2, HEADS, TOKENS, WIDTH, dtype=torch.float64)
    with pytest.raises(ValueError, match="quantized attention looks both ways: leave is_causal out"):
        attend(layer(), q, q, q, None, is_causal=True)


# ---------------------------------------------------------------------------------------------------------------- masks


def test_masks_of_every_kind_hide_the_same() -> None:
    logits = torch.randn(2, HEADS, TOKENS, TOKENS)
    wanted, hidden = masked(logits, seen())
    minus = torch.zeros(()).masked_fill(~seen(), torch.finfo(torch.float32).min)
    rows = seen()[:, 0, 0].long()
    kinds = [minus, minus.clamp_min(-10000.0), minus.masked_fill(~seen(), -torch.inf), rows, rows.bool()]
    for mask in kinds:
        found, where = masked(logits, mask)
        assert torch.equal(where.expand(hidden.shape), hidden)
        assert torch.equal(found.softmax(-1), wanted.softmax(-1))
    assert (wanted.softmax(-1).masked_select(hidden.expand_as(wanted)) == 0).all()


def test_a_bias_that_does_not_hide_is_added_and_hides_nothing() -> None:
    logits, bias = torch.randn(2, HEADS, 3, 3), torch.randn(1, HEADS, 3, 3)
    found, hidden = masked(logits, bias)
    assert torch.equal(found, logits + bias) and not hidden.any()


def test_a_mask_that_is_no_tensor_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"cannot read a mask of type object: .*attn_implementation='sdpa'"):
        masked(torch.zeros(1, 1, 2, 2), object())  # type: ignore[arg-type]


def test_a_sentence_of_nothing_but_padding_gives_zeros() -> None:
    nothing = seen()
    nothing[1] = False
    mixed, _ = layer()(tokens(), nothing)
    assert (mixed[1] == 0).all() and (mixed[0] != 0).any()
    assert mixed.isfinite().all()


SERVING = [
    (name, bits)
    for name, method in METHODS.items()
    for bits in {"elastic": (1,), "learned_bits": (2, 8)}.get(name, (1, 2, 8))
    if method.activation is not None and name != "lsq+"
]


@pytest.mark.parametrize("granularity", [per_tensor, per_head], ids=str)
@pytest.mark.parametrize(("name", "bits"), SERVING)
def test_a_hidden_probability_has_code_zero_and_value_zero(name: str, granularity: Any, bits: int) -> None:
    blocks = granularity.of_heads(HEADS, TOKENS)
    probability = build(Spec(bits, name, granularity), "activation", blocks, "unsigned")
    assert probability is not None
    with torch.no_grad():
        for parameter in probability.parameters():
            parameter.sub_(3.0)  # a threshold of minus three makes a one of every zero
    p = torch.rand(2, HEADS, TOKENS, TOKENS).masked_fill(~seen(), 0.0)
    snapped = hide(probability(p), ~seen())
    where = ~seen().expand_as(p)
    assert (snapped.code()[where] == 0).all() and (snapped.value()[where] == 0).all()


def test_without_hiding_a_learned_threshold_would_let_the_padding_in() -> None:
    elastic = Elastic(Grid(1, signed=False), (1,))
    with torch.no_grad():
        elastic.threshold.fill_(-10.0)
    of = layer(1, elastic)
    x, other = tokens(), tokens()
    other[1, 4:] += 1.0
    assert elastic(torch.zeros(3)).code().tolist() == [1, 1, 1]
    mixed, moved = (of(t, seen())[0][1, :4] for t in (x, other))
    assert torch.equal(mixed, moved)


def test_what_is_hidden_gets_no_gradient_and_teaches_no_threshold() -> None:
    elastic = Elastic(Grid(1, signed=False), (1,)).double()
    p = torch.rand(1, 1, 1, 4, dtype=torch.float64, requires_grad=True)
    hidden = torch.tensor([False, True, False, True])
    hide(elastic(p), hidden).value().sum().backward()
    assert p.grad is not None and (p.grad[..., hidden] == 0).all()
    taught = elastic.threshold.grad.clone()
    elastic.threshold.grad = None
    elastic(p[..., ~hidden]).value().sum().backward()
    torch.testing.assert_close(taught, elastic.threshold.grad)


@pytest.mark.parametrize(
    "without_zero",
    [lambda: LSQPlus(Grid(4, signed=False), (1,)), lambda: LSQ(Grid(1, signed=True, offset=0.5), (1,))],
    ids=["shifted", "mid-rise"],
)
def test_a_probability_that_has_no_code_zero_is_refused(without_zero: Any) -> None:
    with pytest.raises(ValueError, match=r"has to be exactly zero.*probability=Spec\(4, 'lsq'\)"):
        layer(4, without_zero())


def test_a_quantizer_of_ones_own_that_shifts_is_refused_when_something_is_hidden() -> None:
    x = torch.rand(2, 3)
    for latent in (
        Latent(x, Grid(4, signed=False), torch.ones(1), torch.ones(1)),
        Latent(x, Grid(4, signed=True, offset=0.5), torch.ones(1)),
    ):
        with pytest.raises(ValueError, match="has to be exactly zero"):
            hide(latent, x > 0.5)
    assert torch.equal(hide(Latent(x), x > 0.5).value(), x.masked_fill(x > 0.5, 0.0))


def test_a_step_in_bfloat16_reaches_every_scale() -> None:
    of = layer().float().train()
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = of(tokens().float(), seen())
    mixed.float().square().sum().backward()
    for name, parameter in of.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
