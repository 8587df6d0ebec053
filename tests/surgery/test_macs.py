"""Multiplications are counted as a reader with a pencil would count them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit import AttentionSpec, LayerSpec, Plan, Rule, Spec
from stillbit.surgery import macs
from tests.surgery import tiny

TOKENS, WIDTH, HIDDEN = 17, 48, 192


def vit(plan: str | Plan = "w4a4") -> nn.Module:
    return stillbit.quantize(tiny.vit(depth=1), plan)


def test_a_vision_transformer_is_counted_layer_by_layer() -> None:
    counted = macs.count(vit())
    assert counted.by_module == {
        "patch_embed.proj": 16 * WIDTH * 3 * 64,
        "blocks.0.attn": 2 * TOKENS * TOKENS * WIDTH,
        "blocks.0.attn.qkv": TOKENS * WIDTH * 3 * WIDTH,
        "blocks.0.attn.proj": TOKENS * WIDTH * WIDTH,
        "blocks.0.mlp.fc1": TOKENS * WIDTH * HIDDEN,
        "blocks.0.mlp.fc2": TOKENS * WIDTH * HIDDEN,
        "head": WIDTH * 10,
    }
    assert counted.total == counted.on_codes == sum(counted.by_module.values())
    assert counted.share == 1.0


def test_a_convolution_is_counted_with_its_groups_and_stride() -> None:
    model = stillbit.quantize(nn.Sequential(nn.Conv2d(4, 8, 3, stride=2, groups=2, padding=1)), "w4a4")
    assert macs.count(model, torch.zeros(1, 4, 10, 12)).total == 5 * 6 * 8 * 2 * 9


def test_quantization_does_not_change_how_much_is_multiplied() -> None:
    for make in (tiny.vit, tiny.swin, tiny.timm_resnet):
        model = make()
        x = tiny.images(1)
        assert macs.count(stillbit.quantize(model, "w4a4"), x).total == macs.count(model, x).total


def without(pattern: str, spec: LayerSpec | AttentionSpec | None = None) -> Plan:
    return Plan.uniform(4, 4).but(Rule(pattern, spec))


@pytest.mark.parametrize(
    ("plan", "missing"),
    [
        (without("head"), {"head"}),
        (without("@attention"), {"blocks.0.attn"}),
        (without("@qkv", LayerSpec(Spec(4), Spec(32))), {"blocks.0.attn.qkv"}),
        (without("@qkv", LayerSpec(Spec(32), Spec(4))), {"blocks.0.attn.qkv"}),
        (without("@attention", AttentionSpec(Spec(4), Spec(32), Spec(4), Spec(4))), {"blocks.0.attn"}),
    ],
)
def test_a_product_with_one_float_side_does_not_count_as_on_codes(plan: Plan, missing: set[str]) -> None:
    counted = macs.count(vit(plan))
    assert counted.on_codes == counted.total - sum(counted.by_module[name] for name in missing)
    assert 0 < counted.share < 1


@pytest.mark.parametrize("make", [tiny.vit, tiny.swin, tiny.eva, tiny.cait, tiny.mixer])
def test_what_modules_compute_themselves_adds_up_to_the_whole(make: Callable[[], nn.Module]) -> None:
    """Also where blocks stand in a list, which nobody calls."""
    counted = macs.count(stillbit.quantize(make(), "w4a4"), tiny.images(1))
    assert sum(counted.by_module.values()) == counted.total
    assert all(number > 0 for number in counted.by_module.values())


def test_a_float_model_has_nothing_on_codes() -> None:
    counted = macs.count(tiny.vit(depth=1))
    assert counted.on_codes == 0 and counted.share == 0.0 and counted.total > 0


def test_a_layer_in_two_places_counts_twice() -> None:
    counted = macs.count(stillbit.quantize(tiny.shared(), "w4a4"), tiny.images(1))
    assert counted.by_module["inside.first"] == 2 * 16 * 32 * 32
    assert counted.share == 1.0


def test_a_merged_attention_multiplies_with_the_whole_width() -> None:
    merged = macs.count(vit(Plan.uniform(4, 4, merge=True)))
    assert merged.by_module["blocks.0.attn.qk"] == TOKENS * WIDTH * 3 * WIDTH
    assert merged.by_module["blocks.0.attn.v"] == TOKENS * WIDTH * WIDTH
    assert merged.by_module["blocks.0.attn"] == 3 * TOKENS * TOKENS * WIDTH + TOKENS * TOKENS * WIDTH
    assert merged.share == 1.0


@pytest.mark.parametrize(
    ("make", "size"),
    [(tiny.vit, (1, 3, 32, 32)), (tiny.swin, (1, 3, 32, 32)), (lambda: tiny.vit(in_chans=1), (1, 1, 32, 32))],
)
def test_a_model_says_itself_what_it_takes_in(make: Callable[[], nn.Module], size: tuple[int, ...]) -> None:
    example = macs.example_of(make())
    assert example is not None and example.shape == size and example.is_meta


def test_a_model_that_does_not_say_is_asked_for_an_example() -> None:
    assert macs.example_of(tiny.plain()) is None
    with pytest.raises(ValueError, match="does not say what it takes in: pass example=one_batch"):
        macs.count(tiny.plain())


def test_an_example_may_be_keyword_arguments() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 5)

        def forward(self, *, tokens: Tensor, scale: float) -> Tensor:
            return self.fc(tokens) * scale

    assert macs.count(Named(), {"tokens": torch.zeros(3, 4), "scale": 2.0}).total == 60


def test_counting_touches_neither_the_model_nor_the_example() -> None:
    model = vit().train()
    pointers = [p.data_ptr() for p in model.parameters()]
    x = tiny.images(1)
    macs.count(model, x)
    assert [p.data_ptr() for p in model.parameters()] == pointers and not x.is_meta
    assert all(p.requires_grad and p.grad is None for p in model.parameters()) and model.training
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
