"""The folder of a store while it is written, by any number of processes that need not know of each other.

``unfinished.json`` says what the store will be. A shard appears under its name when all of it is there, and then a text
with its SHA-256, in the form of ``sha256sum``. Whoever finds no shard missing writes ``targets.npy`` and, last,
``manifest.json``, and takes away what was needed until then. Locks only keep two processes from doing the same work:
where they do not hold, both write the same bytes.
"""

from __future__ import annotations

import errno
import fcntl
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from numpy import ndarray

from stillbit.data.whole import whole
from stillbit.distill import manifest as manifests
from stillbit.distill.manifest import Manifest, Shard, shard_name
from stillbit.distill.same import check_same
from stillbit.distill.store import TARGETS, digest, header

UNFINISHED = "unfinished.json"


def begin(folder: Path, wanted: Manifest) -> bool:
    """Take a folder that is new, empty, or was begun with the same request; whether the store is finished already."""
    # A store gets its manifest before it loses the other file, so whoever looks in this order sees one of them.
    begun = _read(folder, UNFINISHED)
    if begun is not None:
        check_same(folder, begun, wanted)
    made = _read(folder, manifests.NAME)
    if made is not None:
        # Finished, it stays what it is, whatever the versions are by now.
        check_same(folder, made, replace(wanted, made_with=made.made_with))
        _tidy(folder)
    elif begun is None and _used(folder):
        if any((folder / name).is_file() for name in (UNFINISHED, manifests.NAME)):
            return begin(folder, wanted)  # another process came first, just now
        raise ValueError(f"{folder} exists and holds something else: choose another --output")
    elif begun is None:
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            manifests.write(wanted, folder, UNFINISHED)
        if (folder / manifests.NAME).is_file():
            return begin(folder, wanted)  # others finished the store since this process looked
    return made is not None


def missing(folder: Path, wanted: Manifest) -> list[int]:
    """The shards that are not there yet."""
    there = {path.name for path in folder.iterdir()}
    names = ((number, shard_name(number)) for number in range(wanted.shard_count))
    absent = [number for number, name in names if not {name, _text(name)} <= there]
    # Another process may have finished the store while this one looked around, and taken the texts away.
    return [] if (folder / manifests.NAME).is_file() else absent


def check_room(folder: Path, wanted: Manifest) -> None:
    """Whether what is missing fits on the disk."""
    absent = missing(folder, wanted) if folder.is_dir() else range(wanted.shard_count)
    needed = sum(len(wanted.samples_of(n)) for n in absent) * wanted.views * wanted.layout.bytes_a_view
    free = shutil.disk_usage(next(path for path in (folder, *folder.absolute().parents) if path.exists())).free
    if needed + 4 * wanted.count > free:
        raise ValueError(
            f"{needed / 1e9:.2f} GB of labels do not fit on the disk of {folder}, which has {free / 1e9:.2f} GB left: "
            "free some, or ask for fewer --crops or a smaller --top-k"
        )


@contextmanager
def claimed(folder: Path, number: int) -> Iterator[bool]:
    """Whether a shard is this process's to write: nobody else is at it, and it is not there yet."""
    name = shard_name(number)
    with _lock(folder / f".{name}.lock", wait=False) as held:
        there = (folder / name).is_file() and (folder / _text(name)).is_file()
        yield held and not there and not (folder / manifests.NAME).is_file()


def write_shard(folder: Path, wanted: Manifest, number: int, chunks: Iterable[ndarray[Any, Any]]) -> None:
    """Write the records of a shard, sample by sample and view by view, as they come; all of them or nothing."""
    name, shape = shard_name(number), (len(wanted.samples_of(number)), wanted.views)
    seen, views = sha256(), 0
    for left in folder.glob(f".{name}.[0-9]*"):  # by a process that was killed while it wrote
        left.unlink(missing_ok=True)
    with _written(folder / name):
        with whole(folder / name) as path, path.open("wb") as file:
            first = header(wanted.layout.dtype.descr, shape)
            seen.update(first)
            file.write(first)
            for chunk in chunks:
                assert chunk.dtype == wanted.layout.dtype
                held = chunk.tobytes()
                seen.update(held)
                file.write(held)
                views += chunk.size
            assert views == shape[0] * shape[1], f"{views} views for a shard of {shape}"
        with whole(folder / _text(name)) as path:
            path.write_text(f"{seen.hexdigest()}  {name}\n", encoding="ascii")


def finish(folder: Path, wanted: Manifest, targets: Int[ndarray, " samples"]) -> Manifest:
    """Check all shards against what was written, and make a store of them."""
    if targets.shape != (wanted.count,) or not 0 <= targets.min() <= targets.max() < wanted.layout.classes:
        raise ValueError(f"true classes are {wanted.count} numbers below {wanted.layout.classes}, one a sample")
    with _lock(folder / ".finish.lock", wait=True):
        if (made := _read(folder, manifests.NAME)) is not None:
            return made
        with ThreadPoolExecutor(4) as pool:  # hashing lets go of the interpreter
            shards = tuple(pool.map(lambda number: _checked(folder, wanted, number), range(wanted.shard_count)))
        with _written(folder / TARGETS), whole(folder / TARGETS) as path:
            path.write_bytes(header("<u4", (wanted.count,)) + np.asarray(targets, "<u4").tobytes())
        made = replace(wanted, shards=shards, targets_sha256=digest(folder / TARGETS))
        with _written(folder / manifests.NAME):
            manifests.write(made, folder)
        _tidy(folder)
    return made


def _checked(folder: Path, wanted: Manifest, number: int) -> Shard:
    """A shard with its hash; one that changed since it was written is taken away, so that it is written again."""
    name = shard_name(number)
    said = (folder / _text(name)).read_text(encoding="ascii", errors="replace").split()
    if said != [digest(folder / name), name]:
        (folder / _text(name)).unlink(missing_ok=True)
        raise ValueError(f"{folder / name} is not what was written: the same command writes it again; check the disk")
    return Shard(name=name, samples=len(wanted.samples_of(number)), sha256=said[0])


def _read(folder: Path, name: str) -> Manifest | None:
    """What a manifest says, if it is there."""
    try:
        return manifests.read(folder, name)
    except ValueError as error:
        # By what happened when it was read: whether it is there now is another question.
        if isinstance(error.__context__, FileNotFoundError | NotADirectoryError):
            return None
        raise


def _text(name: str) -> str:
    return f"{name}.sha256"


def _used(folder: Path) -> bool:
    """Whether there is anything; what a killed write left has a name that begins with a dot."""
    return folder.exists() and (not folder.is_dir() or any(path.name[0] != "." for path in folder.iterdir()))


def _tidy(folder: Path) -> None:
    """Take away what only an unfinished store needs."""
    (folder / UNFINISHED).unlink(missing_ok=True)
    kept = ("shard-", "targets.", "manifest.", "unfinished.", "finish.")
    for path in folder.iterdir():
        if path.name.endswith(".npy.sha256") or (path.name[0] == "." and path.name[1:].startswith(kept)):
            path.unlink(missing_ok=True)


@contextmanager
def _lock(path: Path, *, wait: bool) -> Iterator[bool]:
    """Whether this process alone holds a lock on a file, which is there as long as somebody does."""
    with path.open("w") as file:
        try:
            # Unlike flock's, this lock is not inherited by processes that load images: it goes with a killed writer.
            fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                yield False
                return
            # Not every file system has locks.
        try:
            yield True
        finally:
            path.unlink(missing_ok=True)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """A disk that is full or gone is said in a sentence."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path} could not be written ({error.strerror or error}): make room, then the same command goes on"
        ) from error
