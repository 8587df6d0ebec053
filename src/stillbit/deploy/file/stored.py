"""Constants as a file holds them: codes at their true width, floats in one pool, indices in the smallest type.

Every tensor is stored plain, or deflated where that saves enough. Nothing says which: one that is shorter than its
plain form is deflated.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from stillbit.deploy.file.pack import Bytes, kind_of, length_of, pack, unpack
from stillbit.deploy.program import Array, Constant, Dims, Grid

WORTH = 64
"""A tensor is deflated if that saves more than this part of it: a smaller gain is not worth the time of reading it."""
RATIO = 64
"""All constants of a program together may be this many times as large as the file that they come from, at most.

One-bit codes are eight times as large in the bytes that they are unpacked to, indices of one byte too. What deflating
gains on trained weights is less than half; a pruned model gains more. A file that would pass the limit is written
plain, so that a reader never has to trust one that does.
"""
FLOATS = "floats"
"""The pool: every float of the program, an array behind the other, each array once."""
INDICES: dict[str, type[np.integer[Any]]] = {"U8": np.uint8, "U16": np.uint16, "I32": np.int32, "I64": np.int64}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a constant lies in a file, and what it is: enough to know its size before anything is read."""

    kind: str
    """``codes``, ``floats``, or the type of indices."""
    tensor: str
    shape: Dims
    first: int = 0
    """Of floats: how many are in the pool before."""
    grid: Grid | None = None

    @property
    def count(self) -> int:
        """How many numbers."""
        return prod(self.shape)

    @property
    def plain(self) -> int:
        """Bytes of the tensor, if it is not deflated; of the pool, those of this constant."""
        if self.grid is not None:
            return length_of(self.count, self.grid.bits)
        return self.count * (4 if self.kind == "floats" else np.dtype(INDICES[self.kind]).itemsize)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What the array is of once it is read."""
        if self.grid is not None:
            return np.dtype(kind_of(self.grid.low, self.grid.bits))
        return np.dtype(np.float32 if self.kind == "floats" else np.int64)


def store(constants: Mapping[str, Constant], *, small: bool = True) -> tuple[dict[str, Place], dict[str, Bytes]]:
    """Where each constant goes, and the tensors; ``small``: equal ones once, and deflated where it is worth it."""
    places: dict[str, Place] = {}
    tensors: dict[str, Bytes] = {}
    pool: list[Array] = []
    seen: dict[Any, Place] = {}
    filled = 0
    for name, held in constants.items():
        place, stream = _placed(name, held, filled)
        key = (place.kind, place.shape, place.grid, stream.tobytes())
        if small and key in seen:
            places[name] = seen[key]
            continue
        places[name] = seen[key] = place
        if place.kind == "floats":
            pool.append(stream)
            filled += place.count
        else:
            tensors[place.tensor] = _smaller(stream) if small else stream
    if pool:
        floats = np.concatenate(pool)
        planes = np.ascontiguousarray(floats.reshape(-1, 4).T).reshape(-1)
        deflated = _smaller(planes)
        tensors[FLOATS] = deflated if small and deflated.size < floats.size else floats
    return places, tensors


def _placed(name: str, held: Constant, filled: int) -> tuple[Place, Bytes]:
    array = np.ascontiguousarray(held.array)
    shape = tuple(held.array.shape)
    if held.grid is not None:
        width = held.grid.bits
        assert width <= 8, "codes have at most eight bits"
        return Place(kind="codes", tensor=name, shape=shape, grid=held.grid), pack(array, held.grid.low, width)
    if array.dtype == np.float32:
        place = Place(kind="floats", tensor=FLOATS, shape=shape, first=filled)
        return place, array.astype("<f4").reshape(-1).view(np.uint8)
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    kind = next(k for k, t in INDICES.items() if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
    stream = array.reshape(-1).astype(np.dtype(INDICES[kind]).newbyteorder("<")).view(np.uint8)
    return Place(kind=kind, tensor=name, shape=shape), stream


def _smaller(stream: Bytes) -> Bytes:
    """Deflated, if that is worth it.

    Most of it is noise with likely and unlikely bytes. To look for runs only is quicker there, and takes half a percent
    less: a match in noise costs more than it saves.
    """
    ways = (zlib.compressobj(9, memLevel=9, strategy=how) for how in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE))
    deflated = min((way.compress(stream.data) + way.flush() for way in ways), key=len)
    worth = len(deflated) < stream.size - stream.size // WORTH
    return np.frombuffer(deflated, np.uint8) if worth else stream


def fetch(places: Mapping[str, Place], tensors: Mapping[str, Bytes], floats: int) -> dict[str, Constant]:
    """The inverse of `store`, of a pool of so many floats; places were checked by `fits`."""
    pool = _floats(tensors, floats)
    made: dict[str, Array] = {}
    constants: dict[str, Constant] = {}
    for name, place in places.items():
        if place.kind == "floats":
            array = pool[place.first : place.first + place.count]
        elif place.tensor in made:
            array = made[place.tensor]
        else:
            array = made[place.tensor] = _array(inflated(place.tensor, tensors[place.tensor], place.plain), place)
        constants[name] = Constant(array=array.reshape(place.shape), grid=place.grid)
    return constants


def asked(places: Mapping[str, Place]) -> int:
    """Bytes that the constants take in memory; those that share them count each."""
    return sum(place.count * place.dtype.itemsize for place in places.values())


def fits(places: Mapping[str, Place], tensors: Mapping[str, Bytes], floats: int, size: int) -> None:
    """Whether all that is asked for is there, and not more than a file of this size may ask for."""
    needed = max(asked(places), 4 * floats)
    if needed > RATIO * size:
        raise ValueError(f"its {size:,} bytes ask for {needed:,} bytes of memory, more than {RATIO} times as many")
    first: dict[str, Place] = {}
    for name, place in places.items():
        if place.kind == "floats" and place.first + place.count > floats:
            raise ValueError(f"constant {name} lies outside of the floats")
        held = tensors.get(place.tensor)
        if held is None or (place.kind == "floats") != (place.tensor == FLOATS):
            raise ValueError(f"the tensor of constant {name} is missing")
        if place.kind != "floats" and (first.setdefault(place.tensor, place) != place or held.size > place.plain):
            raise ValueError(f"the tensor of constant {name} has another length or is used in two ways")
    left = set(tensors) - {place.tensor for place in places.values()}
    if left:
        raise ValueError(f"nothing uses its tensor {min(left)[:80]}")
    if bool(floats) != (FLOATS in tensors) or (floats and tensors[FLOATS].size > 4 * floats):
        raise ValueError("its floats are not there, or more than it says")


def inflated(name: str, stream: Bytes, plain: int, *, always: bool = False) -> Bytes:
    """The plain bytes of a tensor; never more than so many are made."""
    if stream.size == plain and not always:
        return stream
    opened = zlib.decompressobj()
    try:
        held = opened.decompress(stream.data, plain + 1)
    except zlib.error as problem:
        raise ValueError(f"its tensor {name} cannot be inflated ({problem})") from None
    if len(held) != plain or not opened.eof or opened.unused_data:
        raise ValueError(f"its tensor {name} is not the {plain:,} bytes that it should be")
    return np.frombuffer(bytearray(held), np.uint8)


def _floats(tensors: Mapping[str, Bytes], count: int) -> Array:
    if not count:
        return np.empty(0, np.float32)
    stream = inflated(FLOATS, tensors[FLOATS], 4 * count)
    if tensors[FLOATS].size < 4 * count:
        stream = np.ascontiguousarray(stream.reshape(4, count).T).reshape(-1)
    return np.require(stream.view("<f4"), np.float32, "A")  # plain, it lies anywhere in the file


def _array(stream: Bytes, place: Place) -> Array:
    if place.grid is not None:
        return unpack(stream, place.count, place.grid.low, place.grid.bits)
    return stream.view(np.dtype(INDICES[place.kind]).newbyteorder("<")).astype(np.int64)
