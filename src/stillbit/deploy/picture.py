"""From the file of a picture to the input of a model, with Pillow and numpy alone: the pixels that evaluation sees."""

from __future__ import annotations

import os
from collections.abc import Iterable
from math import floor
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy import ndarray
from PIL import Image

from stillbit.data.decode import SUFFIXES, decode
from stillbit.data.look import Look
from stillbit.data.source import DamagedImage
from stillbit.deploy.about import Preprocess

FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}


def preprocess_of(look: Look) -> Preprocess:
    """What a deployed file says of how its model sees pictures."""
    return Preprocess(
        size=look.size, mean=look.mean, std=look.std, interpolation=look.interpolation, crop_pct=look.crop_pct
    )


def files_of(said: Iterable[Path]) -> list[Path]:
    """The pictures among ``said``: files as they are, and of a folder all pictures inside, in the order of names."""
    found: list[Path] = []
    for path in said:
        if path.is_dir():
            inside = sorted(Path(here) / name for here, _, names in os.walk(path) for name in names)
            pictures = [file for file in inside if file.name.lower().endswith(SUFFIXES)]
            if not pictures:
                raise ValueError(f"there is no picture in {path}: give a file, or a folder of {' '.join(SUFFIXES)}")
            found += pictures
        elif path.exists():
            found.append(path)
        else:
            raise ValueError(f"there is no picture {path}: give a file, or a folder of pictures")
    return found


def opened(path: Path) -> Image.Image:
    """A grey picture or one with three colours; decoded by the room that decodes for training."""
    try:
        return decode(str(path), str(path))
    except DamagedImage as fault:
        raise ValueError(f"{fault.name} cannot be used: {fault.reason}") from None


def input_of(picture: Image.Image, wanted: Preprocess) -> Float32[ndarray, "c h w"]:
    """What the model sees of a picture: its colours or its greys, the middle of it, normalized."""
    mode = "L" if len(wanted.mean) == 1 else "RGB"
    picture = picture if picture.mode == mode else picture.convert(mode)
    pixels = np.asarray(_centre(picture, wanted), np.float32)
    planes = pixels[None] if mode == "L" else pixels.transpose(2, 0, 1)
    # One factor and one summand a channel, in this order, are the arithmetic of training: the same floats, to the bit.
    mean, std = (np.asarray(numbers, np.float32)[:, None, None] for numbers in (wanted.mean, wanted.std))
    return np.ascontiguousarray(planes * (1 / (255 * std)) - mean / std)


def _centre(picture: Image.Image, wanted: Preprocess) -> Image.Image:
    """Resize until the crop is ``crop_pct`` of a side, and take the middle."""
    high, wide = (floor(side / wanted.crop_pct) for side in wanted.size)
    if high == wide:
        short, long = sorted(picture.size)
        other = int(high * long / short)
        size = (high, other) if picture.width <= picture.height else (other, high)
    else:
        factor = max(high / picture.height, wide / picture.width)
        size = floor(picture.width * factor + 0.5), floor(picture.height * factor + 0.5)
    if size != picture.size:
        picture = picture.resize(size, FILTERS[wanted.interpolation])
    top, left = _middle(picture.height - wanted.size[0]), _middle(picture.width - wanted.size[1])
    return picture.crop((left, top, left + wanted.size[1], top + wanted.size[0]))


def _middle(spare: int) -> int:
    """Half of the pixels to spare; of an odd number the even neighbour of the half, as torchvision takes it."""
    half = spare // 2
    return half + (spare % 2) * (half % 2)
