"""A picture small enough to keep in a record."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from stillbit.data.look import Look

SIDE = 96
"""Pixels, at most."""


def thumbnail(image: Float[Tensor, "c h w"], look: Look) -> str:
    """A PNG in base64 of a normalised image, as it was before it was normalised."""
    mean, std = (torch.tensor(n, dtype=torch.float64)[:, None, None] for n in (look.mean, look.std))
    pixels = (image.detach().cpu().double() * std + mean).clamp(0, 1).mul(255.5).clamp(max=255).to(torch.uint8)
    array = pixels.permute(1, 2, 0).numpy()
    picture = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)
    picture.thumbnail((SIDE, SIDE))
    page = BytesIO()
    picture.save(page, format="PNG", optimize=True)
    return b64encode(page.getvalue()).decode()
