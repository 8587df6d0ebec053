"""What training changes in an image after its crop: colours, shapes, erased rectangles."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import UInt8
from PIL import Image
from timm.data.auto_augment import (
    augment_and_mix_transform,
    auto_augment_transform,
    posterize,
    rand_augment_transform,
)
from timm.data.random_erasing import RandomErasing
from timm.data.transforms import str_to_pil_interp
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from stillbit.data.chance import seeded
from stillbit.data.look import Look
from stillbit.data.settings import AugmentSettings

_AUGMENT = 2  # what the random numbers are for: the first part of their key
_MAKERS = {"rand": rand_augment_transform, "augmix": augment_and_mix_transform}
_POLICIES = ("original", "originalr", "v0", "v0r", "3a")


class Augment:
    """Automatic augmentation, colour jitter and erasing of a crop, in timm's order."""

    def __init__(self, settings: AugmentSettings, look: Look) -> None:
        self.auto = None if settings.aa is None else _auto(settings, look)
        j = settings.color_jitter
        self.jitter = v2.ColorJitter(j, j, j) if j else None
        self.eraser = RandomErasing(settings.reprob, mode="pixel", device="cpu") if settings.reprob else None
        self.mean = torch.tensor(look.mean)[:, None, None]
        self.std = torch.tensor(look.std)[:, None, None]

    def __call__(self, pixels: UInt8[Tensor, "c h w"], *key: int) -> UInt8[Tensor, "c h w"]:
        """The same key changes the same image in the same way, whatever was drawn before."""
        if self.auto is None and self.jitter is None and self.eraser is None:
            return pixels
        with seeded(_AUGMENT, *key):
            if self.auto is not None:
                pixels = self._automatic(pixels)
            if self.jitter is not None:
                pixels = self.jitter(pixels)
            if self.eraser is not None:
                pixels = self._erased(pixels)
        return pixels

    def _automatic(self, pixels: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
        """The transforms of timm want an image with three channels."""
        image = F.to_pil_image(pixels.expand(3, -1, -1))
        assert self.auto is not None
        changed: Tensor = F.pil_to_tensor(self.auto(image))
        return changed if len(pixels) == 3 else F.rgb_to_grayscale(changed)

    def _erased(self, pixels: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
        """Normal noise in units of the normalisation, as timm erases, written where pixels are bytes still."""
        assert self.eraser is not None
        patch = self.eraser(torch.full(pixels.shape, torch.nan))
        noise = (patch * self.std + self.mean).mul(255).clamp(0, 255).nan_to_num()
        return torch.where(patch.isnan(), pixels, noise.to(torch.uint8))


def _auto(settings: AugmentSettings, look: Look) -> Any:
    name = str(settings.aa)
    kind = name.split("-")[0]
    if kind not in (*_MAKERS, *_POLICIES):
        known = ", ".join((*_MAKERS, *_POLICIES))
        raise ValueError(f"unknown automatic augmentation {name!r}: begin with one of {known}, as rand-m9-mstd0.5-inc1")
    mean = look.mean if look.channels == 3 else look.mean * 3
    parameters = {
        "translate_const": int(min(look.size) * 0.45),
        "img_mean": tuple(min(255, int(255 * m + 0.5)) for m in mean),
        "interpolation": str_to_pil_interp(settings.train_interpolation),
    }
    if kind == "augmix":
        parameters["translate_pct"] = 0.3
    try:
        auto = _MAKERS.get(kind, auto_augment_transform)(name, parameters)
    except Exception:  # timm checks its strings with assertions
        raise ValueError(f"timm cannot read the augmentation {name!r}: write one like rand-m9-mstd0.5-inc1") from None
    for op in auto.ops if hasattr(auto, "ops") else (op for policy in auto.policy for op in policy):
        if op.aug_fn is posterize:
            op.aug_fn = _posterize
    return auto


def _posterize(image: Image.Image, bits: int, **_: Any) -> Image.Image:
    """At its strongest timm asks for 0 bits, which Pillow refuses since version 13."""
    changed: Image.Image = posterize(image, max(1, bits))
    return changed
