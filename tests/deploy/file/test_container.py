"""A sealed file: safetensors that says itself whether it is whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from stillbit.deploy.file.container import SEAL, read_sealed, seal, write_sealed
from tests.deploy.fuzz_packed import sealed

TENSORS = {
    "b": np.arange(5, dtype=np.uint8),
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "empty": np.empty((0, 4), np.int16),
    "one": np.array(7, np.int64),
}


def held(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, and a checksum that fits."""
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return sealed((len(text) if length is None else length).to_bytes(8, "little") + text + body)


def header(**tensors: Any) -> Any:
    return {"__metadata__": {"checksum": "0" * 64}, **tensors}


def test_what_was_written_comes_back_and_other_readers_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    data = seal({"format": "test"}, TENSORS)
    assert write_sealed(path, data) == len(data) == path.stat().st_size
    back, other = read_sealed(path), load_file(path)
    assert back.metadata == {"checksum": data[SEAL].decode(), "format": "test"} and back.size == len(data)
    assert set(back.tensors) == set(other) == set(TENSORS)
    for name, tensor in TENSORS.items():
        for each in (back.tensors[name], other[name]):
            assert each.dtype == tensor.dtype and each.shape == tensor.shape and (each == tensor).all()
        assert back.tensors[name].flags.aligned and back.tensors[name].flags.writeable


def test_the_same_content_is_the_same_bytes() -> None:
    assert seal({"x": "y"}, TENSORS) == seal({"x": "y"}, TENSORS)


def test_the_checksum_is_of_the_file_with_zeros_in_its_place() -> None:
    data = seal({}, TENSORS)
    plain = data[: SEAL.start] + b"0" * 64 + data[SEAL.stop :]
    assert hashlib.sha256(plain).hexdigest().encode() == data[SEAL] == data[37:101]


def test_any_changed_byte_is_seen(tmp_path: Path) -> None:
    data, path = seal({"a": "b"}, TENSORS), tmp_path / "a"
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"is truncated or damaged|was not written by|is a pickle"):
            read_sealed(path)


ENTRY = {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (held(header(a=ENTRY), b"123"), "there is more in the file than its tensors"),
        (held(header(a=ENTRY), b"1"), "tensor a does not lie where it should"),
        (held(header(a={**ENTRY, "shape": [2**40, 2**40]}), b"12"), "tensor a does not lie where it should"),
        (held(header(a={**ENTRY, "shape": [0, 2**62]}), b""), "tensor a does not lie where it should"),
        (held(header(a={**ENTRY, "data_offsets": [1, 3]}), b"123"), "tensor a does not lie where it should"),
        (held(header(a=ENTRY, b=ENTRY), b"12"), "tensor b does not lie where it should"),
        (held(header(a={**ENTRY, "dtype": "F8"}), b"12"), "tensor a is not described as it should be"),
        (held(header(a={**ENTRY, "dtype": []}), b"12"), "tensor a is not described as it should be"),
        (held(header(a={**ENTRY, "more": 1}), b"12"), "tensor a is not described as it should be"),
        (held(header(a=[ENTRY]), b"12"), "tensor a is not described as it should be"),
        (held(header(a={**ENTRY, "shape": [-2]}), b"12"), "a shape or a place that is none"),
        (held(header(a={**ENTRY, "shape": [True, 2]}), b"12"), "a shape or a place that is none"),
        (held(header(a={**ENTRY, "shape": 2}), b"12"), "a shape or a place that is none"),
        (held(header(a={**ENTRY, "shape": [1] * 40}), b"12"), "a shape or a place that is none"),
        (held(header(a={**ENTRY, "data_offsets": [0]}), b"12"), "a shape or a place that is none"),
        (held({"__metadata__": {"checksum": "0" * 64, "x": 1}}), "its metadata are no words"),
        (held(json.dumps(header()).encode().replace(b": ", b":")[:-1] + b',"a":1e999}'), "a finite number should be"),
        (held(header(), length=2**62), "is truncated or damaged"),
        (held(header(), length=2**63), "is truncated or damaged"),
        (held(json.dumps(header(), separators=(",", ":")).encode() + b" " * (1 << 22)), "bytes are too many"),
        (b"", "was not written by stillbit export"),
        (b"\x80\x02}q\x00.", "is a pickle, which stillbit never opens"),
        (b"PK\x03\x04" + b"0" * 200, "is a pickle, which stillbit never opens"),
    ],
)
def test_a_damaged_header_is_one_sentence_with_the_file(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        read_sealed(path)
    assert said in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_of_another_kind_is_told_apart(tmp_path: Path) -> None:
    save_file({"a": np.zeros(2)}, tmp_path / "a.safetensors", {"stillbit": "{}"})
    with pytest.raises(ValueError, match=r"a\.safetensors was not written by stillbit export"):
        read_sealed(tmp_path / "a.safetensors")


def test_no_file_and_a_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        read_sealed(tmp_path / "nothing")
    with pytest.raises(ValueError, match="there is no file"):
        read_sealed(tmp_path)
    with pytest.raises(ValueError, match="is a folder: name a file"):
        write_sealed(tmp_path, b"")
    with pytest.raises(ValueError, match=r"there is no folder .*: make it first"):
        write_sealed(tmp_path / "a" / "b", b"")
    with pytest.raises(ValueError, match="could not be read"):
        read_sealed(tmp_path / ("x" * 300))
    with pytest.raises(ValueError, match="could not be written"):
        write_sealed(tmp_path / ("x" * 300), b"")
