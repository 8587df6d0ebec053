"""Convolutional networks of timm and torchvision: ResNet and VGG, the CNNs the papers compare with.

Any other CNN is quantized by the survey's general rules; what this file knows is where inputs come from a ReLU.
"""

from __future__ import annotations

import timm.models.resnet as timm_resnet
import timm.models.vgg as timm_vgg
import torchvision.models.resnet as vision_resnet
import torchvision.models.vgg as vision_vgg
from torch import nn

from stillbit.quantizers.spec import Range
from stillbit.surgery.site import Site, below, weight_site

KNOWN = (timm_resnet.ResNet, timm_vgg.VGG, vision_resnet.ResNet, vision_vgg.VGG)


def claim(name: str, module: nn.Module, model: nn.Module) -> list[Site]:
    """Every convolution and linear of a plain ReLU network: all inputs but the image are unsigned."""
    if not isinstance(module, KNOWN) or not _plain(module):
        return []
    layers = [(n, m) for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return [
        weight_site(below(name, n), m, ("fc",) if isinstance(m, nn.Linear) else (), SIGNS[i > 0])
        for i, (n, m) in enumerate(layers)
    ]


SIGNS: tuple[Range, Range] = ("signed", "unsigned")


def _plain(model: nn.Module) -> bool:
    """Whether ReLU is the only activation and nothing (squeeze-excitation, attention) stands between blocks."""
    gated = any(getattr(m, "se", None) is not None for m in model.modules())
    return not gated and not any(
        "activation" in type(m).__module__ and not isinstance(m, nn.ReLU | nn.ReLU6) for m in model.modules()
    )
