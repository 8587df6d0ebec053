"""What a teacher is shown: samples with their views. Images have crops; anything else can be a `Seen` of one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, final

import numpy as np
import torch
from jaxtyping import Int, Shaped, UInt8, UInt16
from numpy import ndarray
from torch import Tensor

from stillbit.data.crops import cut, random_crop, size_of
from stillbit.data.look import Look
from stillbit.data.samples import with_channels
from stillbit.data.settings import AugmentSettings, Interpolation
from stillbit.data.source import DamagedImage, Picture, Source
from stillbit.distill.boxes import Box, box_of, crop_of, flags_of
from stillbit.distill.layout import UNLABELLED
from stillbit.distill.manifest import Crops, Data
from stillbit.distill.matches import data_of, labels_of


class Views(NamedTuple):
    """All views of one sample."""

    inputs: Shaped[Tensor, "views ..."]
    boxes: UInt16[ndarray, "views 4"] | None = None
    """None where there are no crops."""
    flags: UInt8[ndarray, " views"] | None = None
    damaged: tuple[str, str] | None = None
    """Name and reason, if there is nothing to be seen."""


class Seen(Protocol):
    """Samples by number; the views of a number are always the same."""

    @property
    def data(self) -> Data:
        """What it is, how many samples, and the names of the classes (or none)."""

    @property
    def crops(self) -> Crops | None:
        """How views are drawn; None where a view is no crop."""

    def targets(self) -> Int[ndarray, " samples"]:
        """The true class of every sample."""

    def views(self, sample: int) -> Views:
        """The same number of views for every sample."""


@final
class Images:
    """Random crops of images: view v of image i is the crop of (seed, v, i). An image is decoded once for all."""

    def __init__(self, source: Source, look: Look, augment: AugmentSettings, *, count: int, seed: int) -> None:
        """``count`` crops of every image, in the size that ``look`` says."""
        self.source, self.look, self.augment, self.count, self.seed = source, look, augment, count, seed
        self.data = data_of(source)
        self.crops = Crops(
            scale=augment.scale,
            ratio=augment.ratio,
            hflip=augment.hflip,
            vflip=augment.vflip,
            interpolation=augment.train_interpolation,
        )

    def targets(self) -> Int[ndarray, " samples"]:
        """The classes of the source."""
        return labels_of(self.source)

    def views(self, sample: int) -> Views:
        """The boxes of an image, and their pixels. A damaged one is black, and its views say so."""
        try:
            picture = self.source.image(sample, 0)
            boxes, flags = self._boxes(sample, *size_of(picture))
            pixels = cut_all(picture, boxes, flags, self.look, self.augment.train_interpolation)
        except DamagedImage as fault:
            black = torch.zeros(self.count, self.look.channels, *self.look.size, dtype=torch.uint8)
            nowhere = np.zeros((self.count, 4), np.uint16)
            return Views(black, nowhere, np.full(self.count, UNLABELLED, np.uint8), (fault.name, fault.reason))
        return Views(pixels, np.array(boxes, np.uint16), np.array(flags, np.uint8))

    def _boxes(self, sample: int, height: int, width: int) -> tuple[list[Box], list[int]]:
        crops = [random_crop(height, width, self.augment, self.seed, view, sample) for view in range(self.count)]
        try:
            return [box_of(crop, height, width) for crop in crops], [flags_of(crop) for crop in crops]
        except ValueError as error:
            raise DamagedImage(self.source.name(sample), str(error)) from None


Boxes = Sequence[Box] | UInt16[ndarray, "views 4"]
Flags = Sequence[int] | UInt8[ndarray, " views"]


def cut_all(
    picture: Picture, boxes: Boxes, flags: Flags, look: Look, interpolation: Interpolation
) -> UInt8[Tensor, "views c h w"]:
    """The pixels of these boxes, for the teacher and for the student: what one saw, the other sees."""
    picture, size = with_channels(picture, look.channels), size_of(picture)
    pixels = torch.empty(len(boxes), look.channels, *look.size, dtype=torch.uint8)
    for view, box, turned in zip(pixels, boxes, flags, strict=True):
        view.copy_(cut(picture, crop_of(box, int(turned), *size), look.size, interpolation))
    return pixels
