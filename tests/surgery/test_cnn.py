"""ResNet and VGG: every input but the image comes from a ReLU."""

from __future__ import annotations

import pytest
import timm
from torch import nn

from stillbit.surgery.cnn import claim
from stillbit.surgery.survey import survey
from tests.surgery import tiny

NETWORKS = [tiny.timm_resnet, tiny.timm_vgg, tiny.vision_resnet, tiny.vision_vgg]


def ranges(model: nn.Module) -> list[str]:
    return [site.range for site in survey(model).sites]


@pytest.mark.parametrize("make", NETWORKS)
def test_every_convolution_and_linear_is_claimed_and_only_the_image_is_signed(make: type[nn.Module]) -> None:
    model = make()
    sites = claim("", model, model)
    assert [s.name for s in sites] == [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [s.range for s in sites] == ["signed"] + ["unsigned"] * (len(sites) - 1)


@pytest.mark.parametrize("act", [nn.SiLU, nn.LeakyReLU, nn.Hardswish, nn.ELU, nn.Mish, nn.CELU, nn.SELU])
def test_a_network_with_another_activation_keeps_its_signs(act: type[nn.Module]) -> None:
    assert set(ranges(tiny.timm_resnet(act_layer=act, stem_type=""))) == {"signed"}


def test_a_network_with_squeeze_and_excitation_keeps_its_signs() -> None:
    with_gates = timm.create_model("seresnet18", pretrained=False, num_classes=4)
    assert not claim("", with_gates, with_gates)


def test_other_models_are_not_claimed() -> None:
    for model in (tiny.vit(depth=1), tiny.plain()):
        assert not claim("", model, model)


@pytest.mark.parametrize("make", NETWORKS)
def test_a_network_inside_another_model_is_known_as_well(make: type[nn.Module]) -> None:
    assert ranges(nn.Sequential(nn.Identity(), make())) == ranges(make())
