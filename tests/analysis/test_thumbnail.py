"""A thumbnail is the picture before it was normalised."""

from __future__ import annotations

from base64 import b64decode
from io import BytesIO

import numpy as np
import torch
from PIL import Image

from stillbit.analysis.thumbnail import SIDE, thumbnail
from stillbit.data.look import Look

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def decoded(png: str) -> Image.Image:
    return Image.open(BytesIO(b64decode(png)))


def test_every_pixel_comes_back() -> None:
    pixels = torch.arange(256).reshape(16, 16).expand(3, 16, 16) / 255
    look = Look((16, 16), 3, MEAN, STD)
    image = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    found = np.asarray(decoded(thumbnail(image, look)))
    assert found.shape == (16, 16, 3) and (found == np.arange(256).reshape(16, 16, 1)).all()


def test_a_large_picture_is_made_small_and_keeps_its_shape() -> None:
    assert decoded(thumbnail(torch.randn(3, 100, 200), Look((100, 200)))).size == (SIDE, SIDE // 2)


def test_a_small_picture_stays_as_it_is() -> None:
    assert decoded(thumbnail(torch.randn(3, 32, 32), Look((32, 32)))).size == (32, 32)


def test_a_grey_picture_is_grey() -> None:
    assert decoded(thumbnail(torch.zeros(1, 8, 8), Look((8, 8), 1, (0.5,), (0.5,)))).mode == "L"


def test_what_is_brighter_than_white_is_white() -> None:
    found = np.asarray(decoded(thumbnail(torch.full((3, 4, 4), 99.0), Look((4, 4)))))
    assert (found == 255).all()
