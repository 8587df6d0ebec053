"""A store of labels: a folder with ``manifest.json``, ``targets.npy`` and shards of fixed-size records.

Image i lies in shard ``i // shard_samples``, row ``i % shard_samples``; view v of it is column v. Files are mapped into
memory, so a view costs what its bytes cost. They are mapped by torch, which does not keep them open as numpy does:
ImageNet has more shards than a process may have open files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Int
from numpy import ndarray

from stillbit.distill import manifest as manifests
from stillbit.distill.layout import FLAGS, Layout
from stillbit.distill.manifest import AGAIN, Shard

TARGETS = "targets.npy"
_BLOCK = 1 << 24
"""Bytes of records that are looked at together."""

Progress = Callable[[int, int], None]


@final
class Store:
    """Labels by sample and view. Opening one looks at the size of every file; `check` at every byte."""

    def __init__(self, folder: Path) -> None:
        if (folder / "unfinished.json").is_file() and not (folder / manifests.NAME).is_file():
            raise ValueError(f"{folder} is not finished: go on with the same stillbit labels write --output {folder}")
        self.folder, self.manifest = folder, manifests.read(folder)
        if not self.manifest.shards:
            raise ValueError(f"{folder / manifests.NAME} lists no shards: write the store anew")
        self.layout: Layout = self.manifest.layout
        self._shards = [self._map(shard) for shard in self.manifest.shards]
        self._targets_header()

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        """Another process opens the files itself; it is not sent what is in them."""
        return Store, (self.folder,)

    def __len__(self) -> int:
        """Samples."""
        return self.manifest.count

    @property
    def views(self) -> int:
        """Views of every sample."""
        return self.manifest.views

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def records(self, sample: int, first: int = 0, count: int | None = None) -> ndarray[Any, Any]:
        """``count`` records of a sample from view ``first`` on (all, if not given), going round at the last; a copy."""
        assert 0 <= sample < len(self), "samples are counted from zero"
        shard, row = divmod(sample, self.manifest.shard_samples)
        views = self._shards[shard][row]
        if count is None:
            return np.array(views)
        last = first + count
        if last <= len(views):
            return np.array(views[first:last])
        return np.take(views, np.arange(first, last), mode="wrap")

    def shard(self, number: int) -> ndarray[Any, Any]:
        """A whole shard, ``[samples, views]``, mapped into memory."""
        return self._shards[number]

    def targets(self) -> Int[ndarray, " samples"]:
        """The true class of every sample."""
        path, begin = self.folder / TARGETS, self._targets_header()
        if digest(path) != self.manifest.targets_sha256:
            raise ValueError(f"{path} is damaged: its checksum is another; {AGAIN}")
        return np.fromfile(path, "<u4", offset=begin).astype(np.int64)

    def check(self, progress: Progress | None = None) -> None:
        """Read every byte: checksums, and whether the records say what labels can say."""
        done = 0
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:  # hashing lets go of the interpreter
            for count in pool.map(self._check_shard, range(len(self._shards))):
                done += count
                if progress is not None:
                    progress(done, len(self))
        if int(self.targets().max()) >= self.layout.classes:
            raise ValueError(
                f"{self.folder / TARGETS} makes no sense: a class beyond the {self.layout.classes} there are"
            )

    def _targets_header(self) -> int:
        expected = header("<u4", (self.manifest.count,))
        _check_size(self.folder / TARGETS, expected, 4 * self.manifest.count)
        return len(expected)

    def _map(self, shard: Shard) -> ndarray[Any, Any]:
        path, shape = self.folder / shard.name, (shard.samples, self.manifest.views)
        expected = header(self.layout.dtype.descr, shape)
        size = shape[0] * shape[1] * self.layout.bytes_a_view
        _check_size(path, expected, size)
        held = torch.from_file(str(path), shared=False, size=len(expected) + size, dtype=torch.uint8).numpy()
        held.flags.writeable = False
        return held[len(expected) :].view(self.layout.dtype).reshape(shape)

    def _check_shard(self, number: int) -> int:
        shard = self.manifest.shards[number]
        path = self.folder / shard.name
        if digest(path) != shard.sha256:
            raise ValueError(f"{path} is damaged: its checksum is another; {AGAIN}")
        records = self._shards[number].reshape(-1)
        for first in range(0, len(records), block := max(1, _BLOCK // self.layout.bytes_a_view)):
            for wrong in _nonsense(records[first : first + block], self.layout):
                raise ValueError(f"{path} makes no sense: {wrong}; write the store anew")
        return shard.samples


def header(descr: Any, shape: tuple[int, ...]) -> bytes:
    """The first bytes of an .npy file (version 1.0) with such an array."""
    written = BytesIO()
    np.lib.format.write_array_header_1_0(written, {"descr": descr, "fortran_order": False, "shape": shape})
    return written.getvalue()


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _check_size(path: Path, expected: bytes, size: int) -> None:
    """Whether a file is there, of the right length, and begins as numpy writes such an array."""
    try:
        with path.open("rb") as file:
            first, there = file.read(len(expected)), os.fstat(file.fileno()).st_size
    except OSError as error:
        raise ValueError(f"{path} is missing ({error.strerror}): {AGAIN}") from None
    if there != len(expected) + size:
        raise ValueError(f"{path} has {there:,} bytes and not {len(expected) + size:,}: {AGAIN}")
    if first != expected:
        raise ValueError(f"{path} is damaged: its first bytes are not of such labels; {AGAIN}")


def _nonsense(records: ndarray[Any, Any], layout: Layout) -> Iterator[str]:
    """What no label can say."""
    names = records.dtype.names or ()
    if "flags" in names and (records["flags"] & ~np.uint8(FLAGS)).any():
        yield "unknown flags"
    if "classes" in names and int(records["classes"].max()) >= layout.classes:
        yield f"a class beyond the {layout.classes} there are"
    if "probabilities" in names:
        # Comparisons with a number that is none are false, so this finds those too.
        values = records["probabilities"]
        if not ((values >= 0) & (values <= 1)).all():
            yield "a probability outside 0 to 1"
