"""The label files that FKD published (arXiv 2112.01528): one an image, written by ``torch.save``, with numpy arrays.

A file is a pickle, and a pickle may call any function of this process. Here it may call three, which are ours: they
stand for what numpy's arrays are made with, and make nothing but small plain arrays. Anything else is refused by name.
"""

from __future__ import annotations

import re
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch.serialization import safe_globals

LARGEST = 1 << 28
"""Bytes of a file; one that is larger, or says it would be when unpacked, is not read."""
_TYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")


class Labels(NamedTuple):
    """What a file says of one image."""

    coords: Float[ndarray, "crops 4"]
    """Top, left, height and width, as fractions of the image's height and width."""
    flips: Bool[ndarray, " crops"]
    output: ndarray[Any, Any]
    """A number, two numbers, two rows of k, or a number a class, for every crop."""


def read(path: Path) -> Labels:
    """The labels in a file; nothing in it runs."""
    held = _bytes(path)
    try:
        with safe_globals(_STANDINS):
            said = torch.load(BytesIO(held), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file makes torch say
        raise ValueError(f"{path} {_why(error)}") from None
    parts = [_array(part) for part in said] if isinstance(said, list | tuple) and len(said) == 3 else []
    if not parts or any(part is None for part in parts):
        raise ValueError(f"{path} holds no coordinates, flips and labels of FKD: leave it out, or fetch it again")
    coords, flips, output = (part for part in parts if part is not None)
    if coords.ndim != 2 or coords.shape[1] != 4 or not len(coords) == flips.size == len(output) or output.ndim > 3:
        shapes = ", ".join(str(list(part.shape)) for part in (coords, flips, output))
        raise ValueError(
            f"{path} holds arrays of shape {shapes}, and FKD's are [M, 4], [M] and [M, ...]: fetch it again"
        )
    coords = coords.astype(np.float64)
    if not ((coords >= 0) & (coords <= 1)).all() or not (coords[:, 2:] > 0).all():
        raise ValueError(f"{path} holds crops that are no part of an image: fetch it again")
    return Labels(coords, flips.reshape(-1) != 0, output)


def edges(coords: Float[ndarray, "crops 4"], height: int, width: int) -> Int[ndarray, "crops 4"]:
    """The pixels that FKD cuts: first row and column, and those after the last; they may lie beyond the image.

    FKD hands fractions of a pixel to Pillow, which rounds each of the four edges, half to even.
    """
    sides = np.array([height, width])
    first = coords[:, :2] * sides
    found = np.concatenate([first, first + coords[:, 2:] * sides], 1)
    whole = np.floor(found)
    rest = found - whole
    pixels: ndarray[Any, Any] = (whole + ((rest > 0.5) | ((rest == 0.5) & (whole % 2 == 1)))).astype(np.int64)
    pixels[:, 2:] = np.maximum(pixels[:, 2:], pixels[:, :2] + 1)
    return pixels


def _bytes(path: Path) -> bytes:
    """All of a file, if it is as small as it looks: torch writes its zips without packing them."""
    try:
        with path.open("rb") as file:
            held = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror}): fetch it again") from None
    small = len(held) <= LARGEST
    if small and held.startswith(b"PK"):
        try:
            with zipfile.ZipFile(BytesIO(held)) as unpacked:
                inside = unpacked.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            raise ValueError(f"{path} is damaged: fetch it again") from None
        plain = all(one.compress_type == zipfile.ZIP_STORED and one.compress_size == one.file_size for one in inside)
        small = plain and sum(one.file_size for one in inside) <= len(held)
    if not small:
        raise ValueError(f"{path} is packed or larger than any label of FKD, so it is not opened: fetch it again")
    return held


def _why(error: Exception) -> str:
    """What a file wants to call that it may not, or that it is damaged."""
    wanted = re.search(r"GLOBAL ([\w.]+)", str(error))
    if wanted is not None:
        return f"wants to call {wanted[1][:80]}, which no label of FKD does, so it was not opened: leave it out"
    return "is damaged or no label of FKD: fetch it again"


def _array(part: object) -> ndarray[Any, Any] | None:
    """As numpy has it; None if it is neither an array nor a plain tensor."""
    if isinstance(part, _Array):
        return part.values
    if isinstance(part, torch.Tensor) and part.layout is torch.strided and part.device.type == "cpu":
        return part.detach().numpy()
    return None


@final
class _Type:
    """Stands for ``numpy.dtype``: one of a few plain numbers."""

    def __init__(self, name: object = "", *_: object) -> None:
        if name not in _TYPES:
            raise ValueError("no plain numbers")
        self.type: np.dtype[Any] = np.dtype(str(name))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """The second entry is the order of bytes."""
        if state[1] not in ("<", "|", ">"):
            raise ValueError("no order of bytes")
        self.type = self.type.newbyteorder(state[1])


@final
class _Array:
    """Stands for ``numpy.ndarray``: numbers that are all in the file."""

    values: ndarray[Any, Any] | None = None

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Version, shape, type, whether columns come first, bytes."""
        _, shape, kind, columns_first, held = state
        if not isinstance(kind, _Type) or not isinstance(held, bytes) or not all(type(side) is int for side in shape):
            raise ValueError("no plain array")
        self.values = np.frombuffer(held, kind.type).reshape(shape, order="F" if columns_first else "C")


def _reconstruct(kind: object, *_: object) -> _Array:
    """Stands for what numpy makes arrays with: an empty one, whatever size was asked for."""
    if kind is not _Array:
        raise ValueError("no array")
    return _Array()


_STANDINS: list[Any] = [
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    (_Array, "numpy.ndarray"),
    (_Type, "numpy.dtype"),
]
