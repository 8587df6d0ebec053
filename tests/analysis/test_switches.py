"""Switches: at one setting a model of that setting to the bit, in between exactly the parts that were asked for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from stillbit.analysis.switches import Part, Switch
from stillbit.quantizers.grid import Grid
from stillbit.quantizers.lsq import LSQ
from tests.analysis.lowered import batch, family, pair, vit

WHOLE = ("vit", "deit", "registers", "swin", "swin_v2", "eva", "beit", "sret", "mixer", "timm_resnet", "vision_vgg")


@torch.no_grad()
def test_all_at_one_level_is_the_model_of_that_level_to_the_bit() -> None:
    held, images = pair(), batch().images
    for setting, like in (("high", held.high), ("low", held.low)):
        held.switched.set(setting)  # type: ignore[arg-type]
        assert torch.equal(held.switched(images), like(images))
    held.switched.set("float")
    assert torch.allclose(held.switched(images), vit()(images), atol=1e-5)


@pytest.mark.parametrize("name", WHOLE)
@torch.no_grad()
def test_every_family_has_switches(name: str) -> None:
    from tests.surgery import tiny

    held, images = family(name), tiny.images(3)
    held.switched.set("high")
    assert torch.equal(held.switched(images), held.high(images))
    held.switched.set("low")
    assert torch.equal(held.switched(images), held.low(images))


def switch(shape: tuple[int, ...]) -> tuple[Switch, Tensor]:
    x = torch.randn(shape)
    low, high = LSQ(Grid(2), (1,)), LSQ(Grid(8), (1,))
    for quantizer in (low, high):
        quantizer.start(x)
    return Switch(low, high), x


@torch.no_grad()
def test_a_part_has_its_own_level_and_the_rest_keeps_that_of_the_tensor() -> None:
    one, x = switch((2, 3, 4, 5))
    one.changed = ((Part("a", "query", -3, 1, 1), "low"), (Part("a", "query", -3, 2, 1), "float"))
    value = one(x).value()
    assert one.low is not None and one.high is not None
    assert torch.equal(value[:, 0], one.high(x).value()[:, 0])
    assert torch.equal(value[:, 1], one.low(x).value()[:, 1])
    assert torch.equal(value[:, 2], x[:, 2])


def test_gradients_pass_a_tensor_of_several_levels_as_they_pass_its_parts() -> None:
    one, x = switch((4, 6))
    x.requires_grad_()
    one.changed = ((Part("a", "weight", 0, 1, 2), "low"),)
    one(x).value().square().sum().backward()
    whole = [torch.autograd.grad(q(x).value().square().sum(), x)[0] for q in (one.low, one.high) if q is not None]
    assert x.grad is not None
    assert torch.equal(x.grad[1:3], whole[0][1:3]) and torch.equal(x.grad[[0, 3]], whole[1][[0, 3]])


@torch.no_grad()
def test_only_the_rows_of_the_part_are_lowered_in_a_weight() -> None:
    held = pair()
    part = Part("blocks.0.attn.qkv", "weight", 0, 8, 8)  # the second head's query
    held.switched.set("high", (part,), "low")
    layer = held.switched.model.get_submodule(part.layer)
    value = held.switched.switches[part.place](layer.weight).value()
    highs, lows = (model.get_submodule(part.layer) for model in (held.high, held.low))
    above, below = (m.weight_quantizer(m.weight).value() for m in (highs, lows))  # type: ignore[operator]
    assert torch.equal(value[8:16], below[8:16]) and torch.equal(value[:8], above[:8])
    assert torch.equal(value[16:], above[16:]) and not torch.equal(below[8:16], above[8:16])


def test_the_float_model_is_left_as_it_is() -> None:
    model = vit().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    pair(model)
    assert model.training and all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert not any("uant" in type(module).__name__ for module in model.modules())
