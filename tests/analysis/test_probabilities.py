"""What attention attends to, beside softmax(q k^T / sqrt(d)) computed from the model's own linears."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import stillbit
from stillbit.analysis.probabilities import Probabilities
from stillbit.analysis.twin import open_twin
from tests.surgery import tiny

SEEN = ["vit", "deit", "registers", "swin", "swin_v2", "eva", "beit", "sret"]


def watched(model: nn.Module, images: Tensor) -> dict[str, Tensor]:
    opened = open_twin(model)
    with torch.no_grad(), Probabilities(opened) as looked:
        opened(images)
        return looked.take()


def by_hand(model: Any, images: Tensor) -> Tensor:
    """The first block's, with hooks on nothing but its norm."""
    held: dict[str, Tensor] = {}
    handle = model.blocks[0].norm1.register_forward_hook(lambda m, i, o: held.update(x=o))
    with torch.no_grad():
        model(images)
    handle.remove()
    attn = model.blocks[0].attn
    qkv = attn.qkv(held["x"]).detach()
    n, tokens, _ = qkv.shape
    q, k, _ = qkv.reshape(n, tokens, 3, attn.num_heads, -1).permute(2, 0, 3, 1, 4)
    return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)


def test_a_float_model_attends_as_the_formula_says() -> None:
    model = tiny.vit().eval()
    found = watched(model, tiny.images(3))
    assert list(found) == ["blocks.0.attn", "blocks.1.attn"]
    torch.testing.assert_close(found["blocks.0.attn"], by_hand(model, tiny.images(3)))


@pytest.mark.parametrize("name", SEEN)
def test_every_row_of_a_float_model_sums_to_1(name: str) -> None:
    found = watched(tiny.FAMILIES[name](), tiny.images())
    assert found
    for attended in found.values():
        torch.testing.assert_close(attended.sum(-1), torch.ones(attended.shape[:-1]))


@pytest.mark.parametrize("name", SEEN)
def test_looking_changes_no_more_of_a_float_model_than_the_last_digits(name: str) -> None:
    model = tiny.FAMILIES[name]().eval()
    opened = open_twin(model)
    with torch.no_grad(), Probabilities(opened):
        torch.testing.assert_close(opened(tiny.images()), model(tiny.images()), rtol=1e-4, atol=1e-5)


def test_a_quantized_model_attends_on_its_grid() -> None:
    model: Any = tiny.vit()
    model.blocks[1].attn.qkv.weight.data *= 20  # which makes its attention sharp
    model = stillbit.quantize(model, "w4a2")
    stillbit.calibrate(model, [tiny.images()])
    found = watched(model, tiny.images())
    attention = model.blocks[1].attn
    scale = attention.probability_quantizer.positive()
    codes = found["blocks.1.attn"] / scale
    torch.testing.assert_close(codes, codes.round())
    assert codes.min() >= 0 and codes.max() <= 3 and len(codes.round().unique()) > 1


def test_merged_attention_is_seen() -> None:
    model = stillbit.quantize(tiny.vit(), stillbit.Plan.uniform(8, 32, merge=True)).eval()
    plain = stillbit.dequantize(stillbit.quantize(tiny.vit(), "w8a32"))
    assert {k: v.shape for k, v in watched(model, tiny.images()).items()} == {
        k: v.shape for k, v in watched(plain, tiny.images()).items()
    }


def test_a_block_that_runs_twice_is_named_by_its_runs() -> None:
    found = watched(tiny.sret(), tiny.images())
    assert [name for name in found if name.endswith("(run 2)")] and len(found) == 2 * sum("run 1" in n for n in found)


def test_the_model_itself_is_left_alone() -> None:
    model: Any = stillbit.quantize(tiny.vit(), "w4a32").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    watched(model, tiny.images())
    assert model.blocks[0].attn.probability_quantizer is None and model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks for m in model.modules())


def test_nothing_is_kept_after_leaving() -> None:
    opened = open_twin(tiny.vit())
    with torch.no_grad(), Probabilities(opened) as looked:
        opened(tiny.images())
    assert not looked.take()
    with torch.no_grad():
        opened(tiny.images())
    assert not looked.take()


def test_a_model_without_attention_shows_nothing() -> None:
    assert watched(tiny.timm_resnet(), tiny.images()) == {}
