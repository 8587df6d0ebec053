"""From numbers of images to bytes that can travel: what a worker of a loader does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from stillbit.data.augment import Augment
from stillbit.data.batch import PADDING
from stillbit.data.crops import centre, cut, random_crop, size_of
from stillbit.data.look import Look
from stillbit.data.order import PADDED, Key, Steps
from stillbit.data.settings import AugmentSettings
from stillbit.data.source import DamagedImage, Picture, Source


class Bytes(NamedTuple):
    """A batch before its normalisation, and what could not be part of it."""

    images: UInt8[Tensor, "n c h w"]
    targets: Int[Tensor, n]
    indices: Int[Tensor, n]
    damaged: list[tuple[str, str]]
    classes: Int[Tensor, "n k"] | None = None
    probabilities: Float[Tensor, "n k"] | None = None


class Views(Protocol):
    """Other views than crops drawn anew: in an order of their own, and with what a teacher said of them."""

    def order(self, batch: int, seed: int, rank: int, world: int) -> Steps:
        """Of batches of ``batch`` views a rank."""

    def __getitems__(self, keys: Sequence[Key]) -> Bytes:
        """A batch, in a worker."""


class Samples:
    """Images as a model sees them; each is a pure function of the seed and its key."""

    def __init__(self, source: Source, look: Look, augment: AugmentSettings | None, seed: int) -> None:
        self.source, self.look, self.seed = source, look, seed
        self.settings = None if augment is None or augment.no_aug else augment
        self.augment = None if self.settings is None else Augment(self.settings, look)

    def __getitems__(self, keys: Sequence[Key]) -> Bytes:
        """All of a batch, in order; damaged images are left out and named."""
        images, indices, damaged = [], [], []
        for epoch, index in keys:
            try:
                images.append(self.view(epoch, index))
                indices.append(index)
            except DamagedImage as fault:
                damaged.append((fault.name, fault.reason))
        if not images:
            images, indices = [self._blank()], [PADDED]
        targets = [PADDING if i == PADDED else self.source.label(i) for i in indices]
        return Bytes(torch.stack(images), torch.tensor(targets), torch.tensor(indices), damaged)

    def view(self, epoch: int, index: int) -> UInt8[Tensor, "c h w"]:
        """One image of an epoch, cropped and changed as the settings say."""
        if index == PADDED:
            return self._blank()
        look, picture = self.look, with_channels(self.source.image(index, epoch), self.look.channels)
        if self.settings is None or self.augment is None:
            return centre(picture, look.size, look.crop_pct, look.interpolation)
        key = self.seed, epoch, index
        crop = random_crop(*size_of(picture), self.settings, *key)
        return self.augment(cut(picture, crop, look.size, self.settings.train_interpolation), *key)

    def _blank(self) -> UInt8[Tensor, "c h w"]:
        return torch.zeros(self.look.channels, *self.look.size, dtype=torch.uint8)


def with_channels(picture: Picture, channels: int) -> Picture:
    """The picture in colours, or in grey."""
    if isinstance(picture, Image.Image):
        mode = "L" if channels == 1 else "RGB"
        return picture if picture.mode == mode else picture.convert(mode)
    if len(picture) == channels:
        return picture
    return F.rgb_to_grayscale(picture) if channels == 1 else picture.expand(3, -1, -1)
