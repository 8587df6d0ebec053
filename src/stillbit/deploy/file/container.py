"""One sealed file: safetensors, with a SHA-256 over every byte at a fixed place.

A safetensors file is the length of a JSON header in 8 bytes, the header, and the tensors one after the other. Here the
header begins with the checksum, so that it lies in bytes 37 to 100 of every file: 64 hexadecimal digits, the SHA-256 of
the file with zeros in their place. It is compared before anything is parsed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stillbit.data.whole import whole
from stillbit.deploy.file.strict import parsed, written
from stillbit.deploy.program import Array

LEADS = b'{"__metadata__":{"checksum":"'
SEAL = slice(8 + len(LEADS), 8 + len(LEADS) + 64)
LONGEST = 1 << 22
"""Bytes of a header; that of DeiT-T is 5 thousand."""
KINDS = {"U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "I32": "<i4", "I64": "<i8", "F32": "<f4"}
"""What safetensors and numpy call the types of numbers that are stored."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """What a file holds; the tensors are views of the bytes that were read."""

    metadata: dict[str, str]
    tensors: dict[str, Array]
    size: int


def seal(metadata: Mapping[str, str], tensors: Mapping[str, Array]) -> bytearray:
    """The bytes of a file; wider numbers come first, so that every tensor lies where its numbers want to."""
    named = {np.dtype(kind): name for name, kind in KINDS.items()}
    ordered = sorted(tensors.items(), key=lambda item: -item[1].itemsize)
    header: dict[str, Any] = {"__metadata__": {"checksum": "0" * 64, **metadata}}
    first = 0
    for name, tensor in ordered:
        place = [first, first := first + tensor.nbytes]
        header[name] = {"dtype": named[tensor.dtype], "shape": list(tensor.shape), "data_offsets": place}
    text = written(header).encode()
    assert text.startswith(LEADS), "the checksum is found by its place"
    text += b" " * (-len(text) % 8)
    parts = [np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data for _, tensor in ordered]
    held = bytearray().join([len(text).to_bytes(8, "little"), text, *parts])
    held[SEAL] = hashlib.sha256(held).hexdigest().encode()
    return held


def write_sealed(where: str | os.PathLike[str], held: bytes | bytearray) -> int:
    """All of the file or nothing of it; what was there stays if this fails."""
    path = Path(where)
    try:
        if path.is_dir():
            raise ValueError(f"{path} is a folder: name a file, such as {path / 'model.safetensors'}")
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent}: make it first")
        with whole(path) as temporary:
            temporary.write_bytes(held)
    except OSError as error:
        raise ValueError(
            f"{path} could not be written ({error.strerror or error}): make room, or choose another place"
        ) from error
    return len(held)


def read_sealed(where: str | os.PathLike[str]) -> Sealed:
    """The file, if it is whole; nothing but its own bytes is allocated before the checksum fits."""
    path = Path(where)
    try:
        if not path.is_file():
            raise ValueError(f"there is no file {path}")
        with path.open("rb") as file:
            _recognized(path, file.read(SEAL.stop))
            file.seek(0)
            held = bytearray(os.fstat(file.fileno()).st_size)
            file.readinto(held)
    except OSError as error:
        raise ValueError(f"{path} could not be read ({error.strerror or error})") from None
    length = int.from_bytes(held[:8], "little")
    checksum = bytes(held[SEAL])
    held[SEAL] = b"0" * 64
    if length > len(held) - 8 or hashlib.sha256(held).hexdigest().encode() != checksum:
        raise ValueError(f"{path} is truncated or damaged, its checksum does not fit what it holds: export it again")
    held[SEAL] = checksum
    try:
        metadata, tensors = _opened(held, length)
    except ValueError as problem:
        raise ValueError(f"{path} has a damaged header, {problem}: export it again") from None
    return Sealed(metadata=metadata, tensors=tensors, size=len(held))


def _recognized(path: Path, head: bytes) -> None:
    # A safetensors file begins with the length of its header, which may be any bytes, and then the header's brace.
    if (head[:2] == b"PK" or head[:1] == b"\x80") and head[8:9] != b"{":
        raise ValueError(f"{path} is a pickle, which stillbit never opens: export the model with stillbit export")
    if head[8 : SEAL.start] != LEADS:
        raise ValueError(f"{path} was not written by stillbit export: export a run to get a file for deployment")


def _opened(held: bytearray, length: int) -> tuple[dict[str, str], dict[str, Array]]:
    if length > LONGEST:
        raise ValueError(f"its {length:,} bytes are too many")
    header = parsed(bytes(held[8 : 8 + length]))
    metadata = header.pop("__metadata__")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no words")
    tensors, end = {}, 0
    for name, said in header.items():
        kind, count, (first, last) = _entry(name, said)
        if first != end or last != first + count * kind.itemsize or 8 + length + last > len(held):
            raise ValueError(f"tensor {name[:80]} does not lie where it should")
        end = last
        flat = np.frombuffer(held, kind, count, 8 + length + first) if count else np.empty(0, kind)
        tensors[name] = flat.reshape(said["shape"])
    if 8 + length + end != len(held):
        raise ValueError("there is more in the file than its tensors")
    return metadata, tensors


def _entry(name: str, said: Any) -> tuple[np.dtype[Any], int, tuple[int, int]]:
    """Type, count and place of a tensor."""
    if not isinstance(said, dict) or set(said) != {"dtype", "shape", "data_offsets"} or str(said["dtype"]) not in KINDS:
        raise ValueError(f"tensor {name[:80]} is not described as it should be")
    shape, place = said["shape"], said["data_offsets"]
    for numbers in (shape, place):
        if not isinstance(numbers, list) or len(numbers) > 32 or not all(type(n) is int and n >= 0 for n in numbers):
            raise ValueError(f"tensor {name[:80]} has a shape or a place that is none")
    if len(place) != 2:
        raise ValueError(f"tensor {name[:80]} has a shape or a place that is none")
    count = 1
    for size in shape:
        count *= size
    return np.dtype(KINDS[said["dtype"]]), count, (place[0], place[1])
