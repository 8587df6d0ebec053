"""What is remembered gives the same bits as what is computed, and is really not computed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stillbit import calibrate, quantize
from stillbit.analysis.prefix import Prefix, blocks
from stillbit.analysis.switches import Switched
from stillbit.data.batch import logits_of
from tests.analysis import texts
from tests.analysis.lowered import family, pair
from tests.surgery import tiny

CHAINS = {
    "vit": ["blocks.0", "blocks.1"],
    "swin": ["layers.0.blocks.0", "layers.0.blocks.1"],
    "timm_resnet": ["layer1", "layer2"],
    "vision_vgg": ["features.0", "classifier.0"],
    "eva": ["blocks.0", "blocks.1"],
    "mixer": ["blocks.0", "blocks.1"],
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_model_is_a_chain_of_its_blocks(name: str) -> None:
    found = blocks(family(name).high)
    assert set(CHAINS[name]) <= set(found), list(found)


@pytest.mark.parametrize(
    "name", ("vit", "deit", "registers", "swin", "swin_v2", "eva", "beit", "sret", "mixer", "timm_resnet", "vision_vgg")
)
@torch.no_grad()
def test_a_run_that_goes_on_from_the_first_changed_layer_gives_the_bits_of_a_whole_one(name: str) -> None:
    """Residual networks add in place, and SReT runs its blocks twice."""
    held, images = family(name), tiny.images(3)
    groups = held.anatomy.groups(("layer",))
    held.switched.set("high")
    plain = held.switched(images)
    with Prefix(held.switched.model).watching() as prefix:
        assert torch.equal(prefix.record(images), plain)
        for group in groups:
            held.switched.set("high", group.parts, "low")
            found = prefix.again(group.layers)
            assert torch.equal(found, _whole(held.switched, images)), group.name
        held.switched.set("high")
        assert torch.equal(prefix.again(()), plain), "nothing that is remembered was written over"


def _whole(switched: Switched, *inputs: Tensor) -> Any:
    """Past the watched forwards."""
    kept = {m: m.__dict__.pop("forward") for m in switched.model.modules() if "forward" in m.__dict__}
    try:
        return switched.model(*inputs)
    finally:
        for module, forward in kept.items():
            module.forward = forward


@torch.no_grad()
def test_what_comes_before_the_first_change_does_not_run_again() -> None:
    held = pair()
    ran: list[str] = []
    names = (
        "patch_embed.proj",
        "blocks.0.attn.qkv",
        "blocks.1.attn.qkv",
        "blocks.1.mlp.fc1",
        "blocks.1.mlp.fc2",
        "head",
    )
    for name in names:
        held.switched.model.get_submodule(name).register_forward_hook(lambda *_, name=name: ran.append(name))
    images = torch.randn(2, 3, 16, 16)
    with Prefix(held.switched.model).watching() as prefix:
        prefix.record(images)
        assert ran == list(names)
        for changed, expected in (
            ("blocks.1.mlp.fc2", ["blocks.1.mlp.fc1", "blocks.1.mlp.fc2", "head"]),
            ("blocks.1.attn", ["blocks.1.attn.qkv", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2", "head"]),
            ("head", ["head"]),
            ("patch_embed.proj", list(names)),
        ):
            ran.clear()
            prefix.again([changed])
            assert ran == expected


@torch.no_grad()
def test_afterwards_the_model_is_as_before_also_when_a_run_fails() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4 * 36, 3))
    model = quantize(model, "w4a4")
    calibrate(model, [torch.randn(4, 3, 8, 8)])
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    with pytest.raises(RuntimeError), Prefix(model).watching() as prefix:
        prefix.record(torch.randn(2, 5, 8, 8))
    assert not any("forward" in module.__dict__ for module in model.modules())
    assert model[1].inplace and hooks == [len(module._forward_pre_hooks) for module in model.modules()]


class Careless(nn.Module):
    """Writes into what its first layer gave."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y += x
        z: Tensor = self.second(y)
        return z


@torch.no_grad()
def test_an_output_that_is_written_into_is_not_reused() -> None:
    model, images = quantize(Careless(), "w4a4"), torch.randn(5, 4)
    calibrate(model, [images])
    plain = model(images)
    with Prefix(model).watching() as prefix:
        prefix.record(images)
        for _ in range(2):
            assert torch.equal(prefix.again(["second"]), plain)


@pytest.mark.parametrize("name", texts.READERS)
@torch.no_grad()
def test_a_model_of_texts_goes_on_with_the_same_bits(name: str) -> None:
    """Its attentions give tuples, and its blocks get a mask."""
    given = texts.texts((9, 12, 5), size=3)[0]
    held = pair(texts.reader(name).float(), bits="w3a3", given=given)
    held.switched.set("high")
    plain = held.switched(*given.inputs)
    assert any(block.endswith(".layer.1") for block in blocks(held.high))
    with Prefix(held.switched.model).watching() as prefix:
        assert torch.equal(prefix.record(*given.inputs), plain)
        for group in held.anatomy.groups(("layer",)):
            held.switched.set("high", group.parts, "low")
            assert torch.equal(prefix.again(group.layers), logits_of(_whole(held.switched, *given.inputs))), group.name
        held.switched.set("high")
        assert torch.equal(prefix.again(()), plain)


@torch.no_grad()
def test_attention_of_transformers_does_not_run_again_for_what_comes_after_it() -> None:
    given = texts.texts((9, 12, 5), size=3)[0]
    held = pair(texts.reader(), given=given)
    held.switched.set("high")
    query = held.switched.model.get_submodule("bert.encoder.layer.1.attention.self.query")
    calls: list[int] = []
    with Prefix(held.switched.model).watching() as prefix:
        prefix.record(*given.inputs)
        query.register_forward_hook(lambda *_: calls.append(1))
        prefix.again(["bert.encoder.layer.1.intermediate.dense"])
        assert not calls
        prefix.again(["bert.encoder.layer.1.attention.self.value"])
        assert calls == [1]
