"""Codes at their true width, in one dense stream: code ``k`` is bits ``k * bits`` to ``k * bits + bits - 1``.

The lowest bit comes first, in bytes too; what is stored is ``code - low``, so it has no sign; the last byte is filled
up with zeros. Three bits take three bits. Numpy alone reads it::

    bits_of = np.unpackbits(stream, bitorder="little")[: count * bits].reshape(count, bits)
    codes = low + bits_of @ (1 << np.arange(bits))

Here eight codes are a 64-bit word, in which neighbours are pushed together three times: pairs, fours, eights. Then
eight such words, each of them partly filled, become as many full ones as a code has bits.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Codes = NDArray[np.signedinteger[Any]]
GROUP = 64
"""Codes that become a whole number of words, whatever their width."""
AT_ONCE = 1 << 18
"""Codes that are worked on at a time: their words stay in a cache."""

assert sys.byteorder == "little", "words are read as bytes, lowest first"


def length_of(count: int, bits: int) -> int:
    """Bytes that so many codes take."""
    return (count * bits + 7) // 8


def kind_of(low: int, bits: int) -> type[np.int8] | type[np.int16]:
    """The smallest integers that hold these codes."""
    return np.int8 if low >= -128 and low + 2**bits <= 128 else np.int16


def pack(codes: NDArray[np.integer], low: int, bits: int) -> Bytes:
    """The stream of all codes, in the order of the tensor; each lies between ``low`` and ``low + 2^bits - 1``."""
    flat = np.ravel(codes)
    plain = np.zeros(-(-flat.size // GROUP) * GROUP, np.uint8)
    np.subtract(flat, low, out=plain[: flat.size], casting="unsafe")
    if bits == 8:
        return plain[: flat.size]
    stream = np.zeros((plain.size // GROUP, bits), np.uint64)
    for first in range(0, plain.size, AT_ONCE):
        words = plain[first : first + AT_ONCE].view(np.uint64)
        upper = np.empty_like(words)
        for step in (1, 2, 4):  # in lanes of 2 * step bytes, the upper half comes down to the lower one
            lower = _lanes(16 * step, step * bits)
            np.bitwise_and(words, ~lower, out=upper)
            upper >>= np.uint64((8 - bits) * step)
            words &= lower
            words |= upper
        eights = words.reshape(-1, 8)
        full = stream[first // GROUP : first // GROUP + len(eights)]
        for eighth, word, shift in _places(bits):
            full[:, word] |= _moved(eights[:, eighth], shift)
    return stream.reshape(-1).view(np.uint8)[: length_of(flat.size, bits)]


def unpack(stream: Bytes, count: int, low: int, bits: int) -> Codes:
    """The inverse of `pack`: so many codes, flat, in eight bits where these hold them."""
    if stream.size != length_of(count, bits):
        raise ValueError(f"{count:,} codes of {bits} bits are {length_of(count, bits):,} bytes, not {stream.size:,}")
    kind = kind_of(low, bits)
    if bits == 8:
        return np.add(stream, low, dtype=kind, casting="unsafe")
    groups = -(-count // GROUP)
    framed = np.zeros((groups, bits), np.uint64)
    framed.reshape(-1).view(np.uint8)[: stream.size] = stream
    codes = np.empty(groups * GROUP, kind)
    for first in range(0, groups, AT_ONCE // GROUP):
        full = framed[first : first + AT_ONCE // GROUP]
        eights = np.zeros((len(full), 8), np.uint64)
        for eighth, word, shift in _places(bits):
            eights[:, eighth] |= _moved(full[:, word], -shift)
        eights &= np.uint64((1 << 8 * bits) - 1)
        words = eights.reshape(-1)
        upper = np.empty_like(words)
        for step in (4, 2, 1):
            lower = _lanes(16 * step, step * bits)
            np.bitwise_and(words, ~lower, out=upper)
            upper <<= np.uint64((8 - bits) * step)
            words &= lower
            words |= upper
        out = codes[GROUP * first : GROUP * first + 8 * words.size]
        np.add(words.view(np.uint8), low, out=out, dtype=kind, casting="unsafe")
    return codes[:count]


def _places(bits: int) -> Iterator[tuple[int, int, int]]:
    """Where each of eight words goes: its number, the full word, and how far it moves up there (down, if negative)."""
    for eighth in range(8):
        word, shift = divmod(eighth * 8 * bits, 64)
        yield eighth, word, shift
        if shift + 8 * bits > 64:
            yield eighth, word + 1, shift - 64


def _lanes(wide: int, filled: int) -> np.uint64:
    """A mask with the lowest ``filled`` bits of every lane that is ``wide`` bits."""
    lane = (1 << filled) - 1
    return np.uint64(sum(lane << at for at in range(0, 64, wide)))


def _moved(words: Words, shift: int) -> Words:
    """Up by so many bits, or down."""
    return words << np.uint64(shift) if shift >= 0 else words >> np.uint64(-shift)
