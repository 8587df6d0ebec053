"""Vision transformers for images of 32 and 64 pixels, in three sizes: small enough to train on a CPU.

They are timm's own `VisionTransformer`: no class token, the mean of all tokens, a norm, a classifier.
"""

from __future__ import annotations

from typing import Any

from timm.models import build_model_with_cfg
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn

from stillbit.models.register import config, register

PICO = {"embed_dim": 64, "depth": 4, "num_heads": 2}
NANO = {"embed_dim": 96, "depth": 6, "num_heads": 3}
MICRO = {"embed_dim": 128, "depth": 8, "num_heads": 4}


def _config(size: int) -> dict[str, Any]:
    return config(size, mean=0.5, std=0.5, crop_pct=1.0, first_conv="patch_embed.proj", classifier="head")


default_cfgs = {
    f"vit_{size}_patch{patch}_{pixels}": _config(pixels)
    for size in ("pico", "nano", "micro")
    for patch, pixels in ((4, 32), (8, 64))
}
"""Under the name, and in the place, where timm looks for them."""


def _build(name: str, pretrained: bool, shape: dict[str, int], patch_size: int, options: dict[str, Any]) -> Any:
    return build_model_with_cfg(
        VisionTransformer,
        name,
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": 3, "feature_cls": "getter"},
        **{"patch_size": patch_size, "class_token": False, "global_pool": "avg", **shape, **options},
    )


@register
def vit_pico_patch4_32(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """64 channels, 4 blocks, 2 heads; 8 x 8 patches of 4 pixels."""
    return _build("vit_pico_patch4_32", pretrained, PICO, 4, options)


@register
def vit_nano_patch4_32(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """96 channels, 6 blocks, 3 heads; 8 x 8 patches of 4 pixels."""
    return _build("vit_nano_patch4_32", pretrained, NANO, 4, options)


@register
def vit_micro_patch4_32(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """128 channels, 8 blocks, 4 heads; 8 x 8 patches of 4 pixels."""
    return _build("vit_micro_patch4_32", pretrained, MICRO, 4, options)


@register
def vit_pico_patch8_64(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """64 channels, 4 blocks, 2 heads; 8 x 8 patches of 8 pixels."""
    return _build("vit_pico_patch8_64", pretrained, PICO, 8, options)


@register
def vit_nano_patch8_64(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """96 channels, 6 blocks, 3 heads; 8 x 8 patches of 8 pixels."""
    return _build("vit_nano_patch8_64", pretrained, NANO, 8, options)


@register
def vit_micro_patch8_64(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """128 channels, 8 blocks, 4 heads; 8 x 8 patches of 8 pixels."""
    return _build("vit_micro_patch8_64", pretrained, MICRO, 8, options)
