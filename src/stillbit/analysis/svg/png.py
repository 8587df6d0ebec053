"""Tiny PNG files, for what would be a thousand squares otherwise: a shade over a picture, or cells in colours."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from math import sqrt

from stillbit.analysis.svg.colour import ramp

DEEPEST = 165
"""How much of 255 the shade takes away where there is nothing."""
_GREY = 12
_SHADED, _COLOURED = 4, 2
"""What PNG calls grey with a shade, and three colours."""


def shade(heights: Sequence[Sequence[float]]) -> str:
    """Nearly black, and transparent where ``heights`` (rows from the top, none negative) is greatest; in base64.

    It thins with the square root, or one great number would leave all others in the dark.
    """
    most = max(max(row) for row in heights) or 1.0
    return _file(
        [b"".join(_pixel(1 - sqrt(value / most)) for value in row) for row in heights], len(heights[0]), _SHADED
    )


def cells(shares: Sequence[Sequence[float]]) -> str:
    """A pixel a share from 0 to 1, light where there is little; in base64."""
    rows = [b"".join(bytes.fromhex(ramp(share)[1:]) for share in row) for row in shares]
    return _file(rows, len(shares[0]), _COLOURED)


def _file(rows: Sequence[bytes], width: int, kind: int) -> str:
    size = struct.pack(">IIBBBBB", width, len(rows), 8, kind, 0, 0, 0)
    held = b"".join(b"\0" + row for row in rows)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(held, 9)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, inside) for name, inside in parts)
    return b64encode(file).decode("ascii")


def _pixel(share: float) -> bytes:
    return bytes((_GREY, int(DEEPEST * min(max(share, 0.0), 1.0) + 0.5)))


def _chunk(name: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))
