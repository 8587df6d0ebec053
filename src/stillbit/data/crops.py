"""Which part of an image the model sees. A crop is a value, and a pure function of its key."""

from __future__ import annotations

from math import exp, floor, log, sqrt
from typing import NamedTuple

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from stillbit.data.chance import uniforms
from stillbit.data.settings import AugmentSettings, Interpolation
from stillbit.data.source import Picture

_TRIES = 10
_CROP = 1  # what the random numbers are for: the first part of their key


class Crop(NamedTuple):
    """A rectangle of an image, in its own pixels, and how it is flipped."""

    top: int
    left: int
    height: int
    width: int
    flip: bool = False
    upside_down: bool = False


def random_crop(height: int, width: int, augment: AugmentSettings, *key: int) -> Crop:
    """A crop as torchvision's RandomResizedCrop draws it: ten tries of an area and a ratio, then the centre."""
    hflip, vflip, *draws = uniforms(2 + 4 * _TRIES, _CROP, *key).tolist()
    flips = hflip < augment.hflip, vflip < augment.vflip
    (low, high), (narrow, wide) = augment.scale, (log(r) for r in augment.ratio)
    for at in range(0, len(draws), 4):
        area, ratio, down, right = draws[at : at + 4]
        kept = height * width * (low + (high - low) * area)
        shape = exp(narrow + (wide - narrow) * ratio)
        w, h = floor(sqrt(kept * shape) + 0.5), floor(sqrt(kept / shape) + 0.5)
        if 0 < w <= width and 0 < h <= height:
            return Crop(int(down * (height - h + 1)), int(right * (width - w + 1)), h, w, *flips)
    return _widest(height, width, augment.ratio)._replace(flip=flips[0], upside_down=flips[1])


def _widest(height: int, width: int, ratio: tuple[float, float]) -> Crop:
    """The largest rectangle in the middle whose ratio is allowed."""
    h, w = height, width
    if width < ratio[0] * height:
        h = min(height, max(1, floor(width / ratio[0] + 0.5)))
    elif width > ratio[1] * height:
        w = min(width, max(1, floor(height * ratio[1] + 0.5)))
    return Crop((height - h) // 2, (width - w) // 2, h, w)


def cut(picture: Picture, crop: Crop, size: tuple[int, int], interpolation: Interpolation) -> UInt8[Tensor, "c h w"]:
    """The pixels of a crop, resized (with antialiasing) and flipped."""
    box = crop.top, crop.left, crop.height, crop.width
    if (crop.height, crop.width) == size:
        piece = F.crop(picture, *box)
    else:
        piece = F.resized_crop(picture, *box, list(size), InterpolationMode(interpolation), antialias=True)
    axes = [-1] * crop.flip + [-2] * crop.upside_down
    pixels = pixels_of(piece)
    return pixels.flip(axes) if axes else pixels


def centre(
    picture: Picture, size: tuple[int, int], crop_pct: float, interpolation: Interpolation
) -> UInt8[Tensor, "c h w"]:
    """What evaluation sees, as timm does it: resize until the crop is ``crop_pct`` of a side, and take the middle."""
    height, width = size_of(picture)
    wanted = [floor(side / crop_pct) for side in size]
    if wanted[0] == wanted[1]:
        resized = wanted[:1]  # the shorter side; torchvision finds the other
    else:
        factor = max(wanted[0] / height, wanted[1] / width)
        resized = [floor(height * factor + 0.5), floor(width * factor + 0.5)]
    if resized not in ([min(height, width)], [height, width]):
        picture = F.resize(picture, resized, InterpolationMode(interpolation), antialias=True)
    return pixels_of(F.center_crop(picture, list(size)))


def size_of(picture: Picture) -> tuple[int, int]:
    """Height and width."""
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return picture.shape[-2], picture.shape[-1]


def pixels_of(picture: Picture) -> UInt8[Tensor, "c h w"]:
    """The picture as a tensor."""
    pixels: Tensor = F.pil_to_tensor(picture) if isinstance(picture, Image.Image) else picture
    assert pixels.dtype == torch.uint8, "sources give bytes"
    return pixels
