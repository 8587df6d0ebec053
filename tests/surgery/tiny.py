"""The smallest model of every family: a forward pass of one takes milliseconds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models.beit import Beit
from timm.models.cait import Cait
from timm.models.deit import VisionTransformerDistilled
from timm.models.eva import Eva
from timm.models.mlp_mixer import MlpMixer
from timm.models.resnet import BasicBlock as TimmBlock
from timm.models.resnet import ResNet as TimmResNet
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer_v2 import SwinTransformerV2
from timm.models.vgg import VGG as TimmVGG
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm
from torchvision.models.resnet import BasicBlock as VisionBlock
from torchvision.models.resnet import ResNet as VisionResNet
from torchvision.models.vgg import VGG as VisionVGG
from torchvision.models.vgg import make_layers

from stillbit.models.sret import Shape, SReT

PLAIN = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "num_heads": 3, "num_classes": 10}


def vit(**options: Any) -> VisionTransformer:
    return VisionTransformer(**{**PLAIN, "depth": 2, **options})


def registers(**options: Any) -> VisionTransformer:
    return vit(reg_tokens=2, qk_norm=True, init_values=0.1, class_token=False, global_pool="avg", **options)


def deit(**options: Any) -> VisionTransformerDistilled:
    return VisionTransformerDistilled(**{**PLAIN, "depth": 2, **options})


WINDOWS = {
    "img_size": 32,
    "patch_size": 2,
    "window_size": 4,
    "embed_dim": 24,
    "depths": (2, 1),
    "num_heads": (2, 4),
    "num_classes": 10,
    "drop_path_rate": 0.0,
}


def swin(**options: Any) -> SwinTransformer:
    return SwinTransformer(**{**WINDOWS, **options})


def swin_v2(**options: Any) -> SwinTransformerV2:
    return SwinTransformerV2(**{**WINDOWS, **options})


def eva() -> Eva:
    return Eva(**PLAIN, depth=2, use_rot_pos_emb=True, swiglu_mlp=True, scale_mlp=True)


def beit() -> Beit:
    return Beit(**PLAIN, depth=2, use_rel_pos_bias=True, init_values=0.1)


def timm_resnet(**options: Any) -> TimmResNet:
    small = {"channels": (8, 16, 16, 32), "stem_width": 8, "stem_type": "deep"}
    return TimmResNet(TimmBlock, layers=(1, 1, 1, 1), num_classes=10, **{**small, **options})


def timm_vgg() -> TimmVGG:
    return TimmVGG([8, "M", 16, "M"], num_classes=10, mlp_ratio=1 / 128)


def vision_resnet() -> VisionResNet:
    model = VisionResNet(VisionBlock, [1, 1, 1, 1], num_classes=10)
    model.layer3, model.layer4, model.fc = nn.Sequential(), nn.Sequential(), nn.Linear(128, 10)
    return model


def vision_vgg() -> VisionVGG:
    with torch.device("meta"):  # its own classifier has a hundred million weights
        model = VisionVGG(make_layers([8, "M", 16, "M"], batch_norm=True), init_weights=False)
    features = make_layers([8, "M", 16, "M"], batch_norm=True)
    model.features = features
    model.classifier = nn.Sequential(nn.Linear(16 * 49, 32), nn.ReLU(), nn.Dropout(0.0), nn.Linear(32, 10))
    return model


def sret() -> SReT:
    return SReT(Shape(base_dim=16, heads=(1, 2, 4), blocks=(1, 2, 1)), img_size=32, num_classes=10)


def mixer() -> MlpMixer:
    return MlpMixer(img_size=32, patch_size=8, embed_dim=48, num_blocks=2, num_classes=10)


def cait() -> Cait:
    return Cait(img_size=32, patch_size=8, embed_dim=48, depth=1, num_heads=3, depth_token_only=1, num_classes=10)


class Tokens(nn.Module):
    """Patches of an image, and something that works on them."""

    def __init__(self, inside: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 32, 8, 8)
        self.inside = inside
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.inside(self.embed(x).flatten(2).mT).mean(1))


class Itself(nn.Module):
    """Attention of torch's own on one input."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class PastForward(nn.Module):
    """Reads the weight of ``fc`` itself, as fast paths do."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.fc2 = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.linear(x, self.fc.weight, self.fc.bias).relu())


class Twice(nn.Module):
    """One linear in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(32, 32)
        self.second = nn.Sequential(nn.GELU(), self.first)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


def plain() -> nn.Module:
    return Tokens(nn.Sequential(nn.LayerNorm(32), nn.Linear(32, 48), nn.ReLU(), nn.Linear(48, 32)))


def multihead() -> nn.Module:
    return Tokens(Itself())


def past_forward() -> nn.Module:
    return Tokens(PastForward())


def shared() -> nn.Module:
    return Tokens(Twice())


def parametrized() -> nn.Module:
    return Tokens(nn.Sequential(weight_norm(nn.Linear(32, 32)), nn.Linear(32, 32)))


FAMILIES: dict[str, Callable[[], nn.Module]] = {
    make.__name__: make
    for make in (
        vit,
        deit,
        registers,
        swin,
        swin_v2,
        eva,
        beit,
        timm_resnet,
        timm_vgg,
        vision_resnet,
        vision_vgg,
        sret,
        mixer,
        plain,
        cait,
        multihead,
        past_forward,
        shared,
        parametrized,
    )
}


def images(count: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images of their own random state, so that what was drawn before does not matter."""
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(7)).to(dtype)
