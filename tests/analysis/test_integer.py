"""Integers give the bits that codes in float32 give, and give way where they cannot."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit.analysis import integer
from stillbit.analysis.integer import available, integers
from stillbit.analysis.switches import Part, Switched, calibrated, join
from stillbit.surgery.plan import Plan
from tests.analysis import texts
from tests.analysis.lowered import batch, family, pair, vit
from tests.surgery import tiny

here = pytest.mark.skipif(not torch.cpu._is_vnni_supported(), reason="this processor multiplies no integers")
WIDE = {"img_size": 64, "embed_dim": 192, "num_heads": 1}
"""256 tokens of 192 channels: large enough for products of a head."""


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often integers were multiplied, an entry a time."""
    calls: list[int] = []
    multiply = torch._int_mm

    def count(*args: Any, **kwargs: Any) -> Tensor:
        calls.append(1)
        return multiply(*args, **kwargs)

    monkeypatch.setattr(torch, "_int_mm", count)
    return calls


@here
@pytest.mark.parametrize("setting", ["high", "low", "float"])
@torch.no_grad()
def test_the_logits_are_equal_to_the_bit(setting: Any, counted: list[int]) -> None:
    held, images = pair(vit(**WIDE), given=batch(4, 64)), batch(3, 64).images
    held.switched.set(setting)
    plain = held.switched(images)
    assert not counted
    with integers(held.switched):
        assert torch.equal(held.switched(images), plain)
    # Four linear layers and, image by image, two products of a head in each of two blocks; then the classifier.
    assert len(counted) == (0 if setting == "float" else 2 * (4 + 2 * 3) + 1)


@here
@pytest.mark.parametrize("name", ("vit", "swin", "swin_v2", "eva", "beit", "sret", "mixer", "vision_vgg"))
@torch.no_grad()
def test_every_family_gives_the_same_bits(name: str, counted: list[int]) -> None:
    held, images = family(name), tiny.images(3)
    for group in (None, *held.anatomy.groups(("role",))):
        held.switched.set("high", () if group is None else group.parts, "low")
        plain = held.switched(images)
        with integers(held.switched):
            assert torch.allclose(held.switched(images), plain, rtol=0, atol=1e-6 * float(plain.abs().max()))
    assert counted


@here
@pytest.mark.parametrize("method", ["lsq", "lsq+", "statsq", "dorefa", "pact", "minmax"])
@torch.no_grad()
def test_other_quantizers_multiply_integers_or_give_way(method: str) -> None:
    weight, activation = {"statsq": ("statsq", "lsq"), "pact": ("lsq", "pact")}.get(method, (method, method))
    model, images = vit(**WIDE), batch(2, 64).images
    low, high = (
        calibrated(model, Plan.uniform(bits, bits, weight=weight, activation=activation), [batch(2, 64)])
        for bits in (3, 8)
    )
    switched = join(low, high)
    for setting in ("low", "high"):
        switched.set(setting)  # type: ignore[arg-type]
        plain = switched(images)
        with integers(switched):
            assert torch.allclose(switched(images), plain, rtol=0, atol=1e-6 * float(plain.abs().max()))


@here
@torch.no_grad()
def test_rows_of_several_levels_are_one_product_of_integers(counted: list[int]) -> None:
    """Rows of a weight have scales of their own anyway. In float32 the mixture is one of values, which rounds."""
    held, x = pair(), torch.randn(2, 17, 24)
    held.switched.set("high", (Part("blocks.0.attn.qkv", "weight", 0, 8, 8),), "low")
    layer = held.switched.model.get_submodule("blocks.0.attn.qkv")
    plain = layer(x)
    with integers(held.switched):
        found = layer(x)
    assert len(counted) == 1 and torch.allclose(found, plain, atol=1e-5)
    exact = [model.get_submodule("blocks.0.attn.qkv") for model in (held.low, held.high)]
    exact[0].input_quantizer = exact[1].input_quantizer
    below, above = (other(x) for other in exact)
    assert torch.equal(found[..., 8:16], below[..., 8:16]) and torch.equal(found[..., 16:], above[..., 16:])


@here
@torch.no_grad()
def test_columns_of_several_levels_are_left_to_the_layer(counted: list[int]) -> None:
    held, x = pair(), torch.randn(2, 17, 24)
    held.switched.set("high", (Part("blocks.0.attn.proj", "weight", 1, 8, 8),), "low")
    layer = held.switched.model.get_submodule("blocks.0.attn.proj")
    plain = layer(x)
    with integers(held.switched):
        assert torch.equal(layer(x), plain) and not counted


@torch.no_grad()
def test_afterwards_layers_are_their_own_again() -> None:
    held = pair()
    before = [set(module.__dict__) for module in held.switched.model.modules()]
    with pytest.raises(KeyError), integers(held.switched):
        raise KeyError
    assert [set(module.__dict__) for module in held.switched.model.modules()] == before


def test_models_of_another_type_and_processors_without_integers_are_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not available(nn.Linear(2, 2).double()) and not available(nn.Linear(2, 2, device="meta"))
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    held: Switched = pair().switched
    with integers(held):
        assert not any("forward" in module.__dict__ for module in held.model.modules())
    assert integer._MIDDLE == integer._MOST + 1


@here
@torch.no_grad()
def test_heads_of_other_bits_are_products_of_integers_too(counted: list[int]) -> None:
    """Against values, which float32 rounds in another order, and against the heads of the high model to the bit."""
    held = pair(vit(img_size=64, embed_dim=384, num_heads=2), given=batch(2, 64))
    group = next(g for g in held.anatomy.groups(("head",)) if g.name == "blocks.0.attn 1")
    held.switched.set("high", (part for part in group.parts if part.layer == "blocks.0.attn"), "low")
    attention, other = (model.get_submodule("blocks.0.attn") for model in (held.switched.model, held.high))
    q, k, v = torch.randn(3, 2, 2, 257, 192)
    logits = torch.randn(2, 2, 257, 257)
    plain = attention.logits(q, k), attention.mix(logits, v)
    assert not counted
    with integers(held.switched):
        found = attention.logits(q, k), attention.mix(logits, v)
    assert len(counted) == 8
    for ours, theirs in zip(found, plain, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
    assert torch.equal(found[0][:, 0], other.logits(q, k)[:, 0])
    assert torch.equal(found[1][..., :192], other.mix(logits, v)[..., :192])


@here
@pytest.mark.parametrize("name", texts.READERS)
@torch.no_grad()
def test_models_of_texts_give_the_same_bits(name: str, counted: list[int]) -> None:
    given = texts.texts((9, 12, 5), size=3)[0]
    held = pair(texts.reader(name).float(), bits="w3a3", given=given)
    for group in (None, *held.anatomy.groups(("role", "head"))):
        held.switched.set("high", () if group is None else group.parts, "low")
        plain = held.switched(*given.inputs)
        with integers(held.switched):
            assert torch.equal(held.switched(*given.inputs), plain)
    assert counted
