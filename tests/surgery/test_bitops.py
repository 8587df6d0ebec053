"""BitOPs are counted as a reader with a pencil would count them, and learned bits follow them down."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec, per_channel, per_head
from stillbit.layers.walk import quantized
from stillbit.quantizers import LearnedBits
from stillbit.surgery import macs
from stillbit.surgery.bitops import Budget, bitops, learned_bits, products
from tests.surgery import tiny

TOKENS, WIDTH, HIDDEN, HEADS = 17, 48, 192, 3
HEADED = Spec(5, "learned_bits", per_head)
WHOLE = Spec(5, "learned_bits")
MIXED = Plan.uniform(5, 5).but(
    Rule("@attention", AttentionSpec.all(HEADED)),
    Rule("@proj", LayerSpec(HEADED, HEADED)),
    Rule("@qkv", LayerSpec(HEADED, WHOLE)),
    Rule("blocks.*", LayerSpec(WHOLE, WHOLE)),
)


def mixed(make: Any = tiny.vit, **options: Any) -> Any:
    """A model with bits that learn, of every head its own, none of them equal."""
    model = stillbit.quantize(make(depth=1, **options), MIXED)
    with torch.no_grad():
        for _, _, quantizer in learned_bits(model):
            quantizer.bits.copy_(torch.rand(quantizer.bits.shape) * 6 + 2)
    return model


def widths(quantizer: Any) -> list[float]:
    return [float(min(max(round(b), 2), 8)) for b in quantizer.bits.flatten().tolist()]


def by_loop(model: Any) -> float:
    """Product by product and head by head, from the shapes alone."""
    attn, mlp = model.blocks[0].attn, model.blocks[0].mlp
    total = 16 * WIDTH * 3 * 64 * 8 * 8 + WIDTH * 10 * 8 * 8
    for rows in widths(attn.qkv.weight_quantizer):
        total += TOKENS * WIDTH * (WIDTH // HEADS) * rows * widths(attn.qkv.input_quantizer)[0]
    q, k, p, v = (widths(getattr(attn, f"{role}_quantizer")) for role in ("query", "key", "probability", "value"))
    columns, inputs = widths(attn.proj.weight_quantizer), widths(attn.proj.input_quantizer)
    for head in range(HEADS):
        total += TOKENS * TOKENS * (WIDTH // HEADS) * (q[head] * k[head] + p[head] * v[head])
        total += TOKENS * (WIDTH // HEADS) * WIDTH * columns[head] * inputs[head]
    for layer in (mlp.fc1, mlp.fc2):
        total += TOKENS * WIDTH * HIDDEN * widths(layer.weight_quantizer)[0] * widths(layer.input_quantizer)[0]
    return total


@pytest.mark.parametrize("number", range(4))
def test_every_head_weighs_as_much_as_it_multiplies(number: int) -> None:
    torch.manual_seed(number)
    model = mixed()
    assert bitops(model).item() == pytest.approx(by_loop(model), rel=1e-12)


def test_the_gradient_to_a_bit_is_what_one_more_bit_costs() -> None:
    """Rounding has the gradient one, so a whole bit more costs as much as the gradient says."""
    model = mixed()
    for _, _, quantizer in learned_bits(model):
        with torch.no_grad():
            quantizer.bits.clamp_(2, 7)
    now = bitops(model)
    now.backward()
    for name, role, quantizer in learned_bits(model):
        for block in range(quantizer.bits.numel()):
            expected = quantizer.bits.grad.flatten()[block].item()
            with torch.no_grad():
                quantizer.bits.view(-1)[block] += 1
                more = by_loop(model) - now.item()
                quantizer.bits.view(-1)[block] -= 1
            assert more == pytest.approx(expected, rel=1e-6) and more > 0, (name, role, block)


def test_deit_tiny_at_four_bits_costs_the_published_budget() -> None:
    """21.455 G: the paper's budget for DeiT-T at 4 bits is that of our plan, with 8 bits at both ends."""
    with torch.device("meta"):
        model = stillbit.quantize(timm.create_model("deit_tiny_patch16_224"), "w4a4")
    assert bitops(model).item() == 21_455_413_248


@pytest.mark.parametrize("make", [tiny.vit, tiny.swin, tiny.timm_resnet, tiny.cait, tiny.eva])
def test_at_uniform_bits_every_mac_costs_their_product(make: Any) -> None:
    model = stillbit.quantize(make(), Plan.uniform(3, 5, ends=3).but(Rule("@last", LayerSpec(Spec(3), Spec(5)))))
    counted = macs.count(model, tiny.images(1))
    layers = {name for name, _ in quantized(model)}
    assert sum(p.macs for p in products(model, tiny.images(1))) == counted.total == sum(counted.by_module.values())
    plain = sum(n for name, n in counted.by_module.items() if name not in layers)
    inside = sum(n for name, n in counted.by_module.items() if name.endswith("attn") and name in layers)
    first = next(iter(counted.by_module.values()))
    expected = (counted.total - plain - inside - first) * 15 + inside * 25 + first * 9 + plain * 32 * 32
    assert bitops(model, tiny.images(1)).item() == pytest.approx(expected, rel=1e-12)


def test_a_merged_attention_shares_its_macs_between_longer_scores_and_the_mixing() -> None:
    spec = AttentionSpec(query=Spec(2), key=Spec(2), value=Spec(3), probability=Spec(5), merge=True)
    plan = Plan.uniform(4, 7, ends=8).but(Rule("@attention", spec), Rule("*.proj", None))
    counted = {p.macs: p.bitops() for p in products(stillbit.quantize(tiny.vit(depth=1), plan)) if p.left and p.right}
    scores, mixing = TOKENS * TOKENS * WIDTH * HEADS, TOKENS * TOKENS * WIDTH
    assert counted[scores] == scores * 2 * 7, "the key is the input of the block"
    assert counted[mixing] == mixing * 5 * 3
    values = TOKENS * WIDTH * WIDTH
    assert counted[values] == values * 4 * 7, "the values take the input as qk quantized it"


def test_what_is_float_counts_with_32_bits() -> None:
    plan = Plan((Rule("head", LayerSpec(Spec(4, granularity=per_channel), Spec(32))),))
    model = stillbit.quantize(tiny.vit(depth=1), plan)
    total = macs.count(model).total
    assert bitops(model).item() == (total - WIDTH * 10) * 32 * 32 + WIDTH * 10 * 4 * 32


def test_runs_of_a_layer_share_its_macs() -> None:
    each = Spec(5, "learned_bits", each_run=True)
    plan = Plan.uniform(8, 8).but(Rule("stages.0.blocks.0.mlp.fc1", LayerSpec(WHOLE, each)))
    model = stillbit.quantize(tiny.sret(), plan)
    layer = model.stages[0].blocks[0].mlp.fc1
    before = bitops(model).item()
    with torch.no_grad():
        layer.input_quantizer.runs[0].bits.fill_(2.0)
        layer.input_quantizer.runs[1].bits.fill_(7.0)
    share = macs.count(model).by_module["stages.0.blocks.0.mlp.fc1"]
    assert bitops(model).item() - before == pytest.approx(share * 5 * (4.5 - 5))


# ------------------------------------------------------------------------------------------------------- the budget


def test_the_penalty_is_the_square_of_what_is_above_the_budget() -> None:
    model = mixed()
    now = by_loop(model) / 1e9
    assert Budget(model, now + 0.01)().item() == 0.0
    budget = Budget(model, now * 0.8)
    assert budget.gbitops().item() == pytest.approx(now) and budget.name == "budget"
    assert budget().item() == pytest.approx((now * 0.2) ** 2)
    budget().backward()
    assert all((q.bits.grad > 0).all() for _, _, q in learned_bits(model))


def test_the_penalty_follows_the_model_it_was_given() -> None:
    model = mixed()
    budget = Budget(model, by_loop(model) / 1e9 * 0.8)
    with torch.no_grad():
        for _, _, quantizer in learned_bits(model):
            quantizer.bits.fill_(2.0)
    assert budget().item() == 0.0 and budget.gbitops().item() == pytest.approx(by_loop(model) / 1e9)


def train(model: nn.Module, steps: int, penalty: Any = None) -> None:
    torch.manual_seed(1)
    x, target = tiny.images(8), torch.arange(8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), target)
        (loss if penalty is None else loss + penalty()).backward()
        optimizer.step()


def test_bits_move_into_the_budget_while_the_model_learns() -> None:
    model = stillbit.quantize(tiny.vit(depth=1), MIXED)
    stillbit.calibrate(model, [tiny.images(8)])
    start = bitops(model).item() / 1e9
    budget = Budget(model, start * 0.7)

    def pressing() -> Any:
        return 3e5 * budget()

    def loss() -> float:
        return nn.functional.cross_entropy(model(tiny.images(8)), torch.arange(8)).item()

    before = loss()
    train(model, 120, pressing)
    now = bitops(model).item() / 1e9
    assert now <= start * 0.72 and loss() < before
    found = torch.cat([q.width().flatten() for _, _, q in learned_bits(model)])
    assert len(found.unique()) > 1, "every layer and head has found bits of its own"


def test_without_learned_bits_there_is_no_budget() -> None:
    with pytest.raises(ValueError, match=r"this model has none: give its plan specs such as Spec\(5, 'learned_bits'\)"):
        Budget(stillbit.quantize(tiny.vit(depth=1), "w4a4"), 1.0)


@pytest.mark.parametrize("budget", [0.001, 0.0, -1.0, float("nan")])
def test_a_budget_that_no_bits_can_meet_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match=r"cannot be met, with 2 bits everywhere the model needs 0\.0\d+ G: give"):
        Budget(mixed(), budget)


def test_learned_bits_are_found_with_their_places() -> None:
    found = {(name, role) for name, role, q in learned_bits(mixed()) if isinstance(q, LearnedBits)}
    assert ("blocks.0.attn", "probability") in found and ("blocks.0.attn.qkv", "weight") in found
    assert len(found) == 4 + 2 * 4 and not any(name == "head" for name, _ in found)
