"""From the bytes of a file to pixels, or to the reason why not."""

from __future__ import annotations

import os
import warnings
from typing import IO

from PIL import Image, UnidentifiedImageError

from stillbit.data.source import DamagedImage

SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""What torchvision takes for images."""


def decode(file: str | IO[bytes], name: str) -> Image.Image:
    """A grey image (mode L) or one with three colours (mode RGB); alpha and EXIF are ignored, as torchvision does."""
    with warnings.catch_warnings():
        # Pillow warns of odd metadata and of large images that it opens all the same.
        warnings.simplefilter("ignore")
        try:
            with Image.open(file) as image:
                wide = image.mode == "F" or image.mode.startswith("I")
                if not wide:
                    return _plain(image)
        except UnidentifiedImageError:
            raise DamagedImage(name, "it is empty" if _size(file) == 0 else "it is no image") from None
        except Image.DecompressionBombError:
            raise DamagedImage(name, "it has more pixels than Pillow opens safely") from None
        except Exception as error:  # a damaged file makes its decoder fail in any way it likes
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise DamagedImage(name, reason or type(error).__name__) from None
    raise DamagedImage(name, f"its pixels are no bytes (mode {image.mode}), convert it to 8 bits a channel")


def _plain(image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        image.load()
        return image
    return image.convert("L" if image.mode in ("1", "LA", "La") else "RGB")


def _size(file: str | IO[bytes]) -> int:
    return os.path.getsize(file) if isinstance(file, str) else file.seek(0, os.SEEK_END)
