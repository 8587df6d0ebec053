"""Tiny PNG files, for what would be a thousand squares otherwise: a shade that is thin where numbers are great."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode
from collections.abc import Sequence
from math import sqrt

DEEPEST = 165
"""How much of 255 the shade takes away where there is nothing."""
_GREY = 12


def shade(heights: Sequence[Sequence[float]]) -> str:
    """Nearly black, and transparent where ``heights`` (rows from the top, none negative) is greatest; in base64.

    It thins with the square root, or one great number would leave all others in the dark.
    """
    most = max(max(row) for row in heights) or 1.0
    rows = (b"\0" + b"".join(_pixel(1 - sqrt(value / most)) for value in row) for row in heights)
    size = struct.pack(">IIBBBBB", len(heights[0]), len(heights), 8, 4, 0, 0, 0)
    parts = ((b"IHDR", size), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    file = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, held) for name, held in parts)
    return b64encode(file).decode("ascii")


def _pixel(share: float) -> bytes:
    return bytes((_GREY, int(DEEPEST * min(max(share, 0.0), 1.0) + 0.5)))


def _chunk(name: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))
