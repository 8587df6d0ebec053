"""The folder of a store while it is written: claims, files that are whole, and who may go on."""

from __future__ import annotations

import multiprocessing as mp
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.distill import shards as under_test
from stillbit.distill.layout import Layout
from stillbit.distill.manifest import Manifest
from stillbit.distill.shards import begin, check_room, claimed, finish, missing, write_shard
from stillbit.distill.store import Store
from tests.distill.stores import manifest, random_records
from tests.distill.teachers import bytes_of

LAYOUT = Layout(kind="marginal_smoothing", top_k=5, classes=20)
WANTED = manifest(LAYOUT)  # 7 samples x 4 views, 3 samples a file
TARGETS = np.arange(7)
RECORDS = random_records(LAYOUT, 7, 4)
"""Made here, because torch's threads do not survive a fork."""


def chunks(number: int) -> Iterator[np.ndarray[Any, Any]]:
    """The records of a shard in pieces that end in the middle of a sample."""
    held = RECORDS[list(WANTED.samples_of(number))].reshape(-1)
    yield from (held[:5], held[5:6], held[6:])


def written(folder: Path, *numbers: int) -> Path:
    begin(folder, WANTED)
    for number in numbers or range(3):
        write_shard(folder, WANTED, number, chunks(number))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = written(tmp_path / "store")
    finish(folder, WANTED, TARGETS)
    return folder


def test_a_store_is_begun_written_and_finished(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "store"
    assert not begin(folder, WANTED)
    assert missing(folder, WANTED) == [0, 1, 2]
    write_shard(folder, WANTED, 1, chunks(1))
    assert missing(folder, WANTED) == [0, 2]
    with pytest.raises(ValueError, match="is not finished"):
        Store(folder)
    for number in (2, 0):
        write_shard(folder, WANTED, number, chunks(number))
    assert not missing(folder, WANTED)
    made = finish(folder, WANTED, TARGETS)
    assert begin(folder, WANTED) and not missing(folder, WANTED)
    assert sorted(bytes_of(folder)) == [
        "manifest.json", "shard-00000.npy", "shard-00001.npy", "shard-00002.npy", "targets.npy"
    ]  # fmt: skip
    held = Store(folder)
    held.check()
    assert held.manifest == made and np.array_equal(held.targets(), TARGETS)
    assert all(np.array_equal(held.records(sample), RECORDS[sample]) for sample in range(7))


def test_a_shard_is_what_numpy_writes_and_its_text_what_sha256sum_reads(tmp_path: Path) -> None:
    folder = written(tmp_path)
    assert np.array_equal(np.load(folder / "shard-00001.npy"), RECORDS[3:6])
    if shutil.which("sha256sum"):
        subprocess.run(
            ["sha256sum", "--check", "--quiet", "--strict", *folder.glob("*.sha256")], cwd=folder, check=True
        )


@pytest.mark.parametrize("when", [0, 1, 2])
def test_a_shard_whose_writing_fails_is_not_there_at_all(tmp_path: Path, when: int) -> None:
    folder = written(tmp_path, 0)
    before = bytes_of(folder)

    def breaks() -> Iterator[np.ndarray[Any, Any]]:
        yield from list(chunks(1))[:when]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(folder, WANTED, 1, breaks())
    assert bytes_of(folder) == before


def test_a_shard_without_its_text_is_missing_and_what_a_killed_writer_left_is_swept_away(tmp_path: Path) -> None:
    folder = written(tmp_path, 0, 1)
    (folder / "shard-00001.npy.sha256").unlink()
    (folder / ".shard-00001.npy.77@host").write_bytes(b"half")
    assert missing(folder, WANTED) == [1, 2]
    write_shard(folder, WANTED, 1, chunks(1))
    assert missing(folder, WANTED) == [2] and not list(folder.glob(".shard*"))


def test_no_shard_has_more_or_fewer_views_than_its_samples(tmp_path: Path) -> None:
    begin(tmp_path, WANTED)
    for wrong in (list(chunks(0))[:2], [*chunks(0), *chunks(0)]):
        with pytest.raises(AssertionError, match="views for a shard"):
            write_shard(tmp_path, WANTED, 0, wrong)
    assert missing(tmp_path, WANTED) == [0, 1, 2]


CHANGES: dict[str, dict[str, Any]] = {
    "--seed 1 there and 2 here": {"seed": 2},
    "--crops 4 there and 5 here": {"views": 5},
    "--batch-size 2 there and 8 here": {"batch_size": 8},
    "--shard-samples 3 there and 4 here": {"shard_samples": 4},
    "--precision fp32 there and bf16 here": {"precision": "bf16"},
    "--top-k 5 there and 6 here": {"layout": replace(LAYOUT, top_k=6)},
    "--label-kind marginal_smoothing there and hard here": {"layout": replace(LAYOUT, kind="hard")},
    "the list of images f there and g here": {"data": replace(WANTED.data, fingerprint="g")},
    "teachers.1.sha256 0000000000000000... there and 1111111111111111... here": {
        "teachers": (replace(WANTED.teachers[0], sha256="1" * 64),)
    },
    "teachers.2.name None there": {"teachers": (WANTED.teachers[0], replace(WANTED.teachers[0], name="b"))},
    "--scale \\[0.08, 1.0\\] there and": {"crops": replace(WANTED.crops, scale=(0.5, 1.0))},
}


@pytest.mark.parametrize("said", CHANGES)
@pytest.mark.parametrize("finished", [False, True])
def test_another_request_is_refused_and_named_and_nothing_changes(said: str, finished: bool, tmp_path: Path) -> None:
    folder = written(tmp_path)
    if finished:
        finish(folder, WANTED, TARGETS)
    before = bytes_of(folder)
    with pytest.raises(ValueError, match=f"is another store .*{said}.*: give the same options, or choose another"):
        begin(folder, replace(WANTED, **CHANGES[said]))
    assert bytes_of(folder) == before


def test_other_versions_may_not_go_on_but_leave_a_finished_store_alone(tmp_path: Path) -> None:
    newer = replace(WANTED, made_with={"torch": "3"})
    written(tmp_path)
    with pytest.raises(ValueError, match=r"made_with.torch 2 there and 3 here"):
        begin(tmp_path, newer)
    finish(tmp_path, WANTED, TARGETS)
    assert begin(tmp_path, newer)


@pytest.mark.parametrize("name", ["mine.txt", "manifest.json", "unfinished.json", "shard-00000.npy"])
def test_a_folder_with_something_else_is_refused_and_left(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"holds something else: choose another --output|is damaged, or not"):
        begin(tmp_path, WANTED)
    assert bytes_of(tmp_path) == {name: b"{}"}


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with pytest.raises(ValueError, match=r"holds something else|could not be written"):
            begin(path, WANTED)


def _claim(folder: Path, number: int, told: Any) -> None:
    with claimed(folder, number) as ours:
        told.send(ours)
        if ours:
            signal.pause()


def holder(folder: Path, number: int) -> tuple[Any, bool]:
    """A process that claims a shard and holds it; and whether it got it."""
    context: Any = mp.get_context("fork")
    mine, its = context.Pipe()
    process = context.Process(target=_claim, args=(folder, number, its))
    process.start()
    return process, mine.recv()


def test_what_one_process_claims_no_other_does_until_it_is_gone(tmp_path: Path) -> None:
    folder = written(tmp_path, 1)
    process, got = holder(folder, 0)
    with claimed(folder, 0) as ours:
        assert got and not ours
    with claimed(folder, 2) as ours:
        assert ours, "another shard is free"
        assert not holder(folder, 2)[1]
    process.kill()
    process.join()
    with claimed(folder, 0) as ours:
        assert ours, "the claim went with who held it"
    with claimed(folder, 1) as ours:
        assert not ours, "it is there already"
    assert not list(folder.glob(".*"))


def test_a_claim_is_not_inherited_by_processes_that_load(tmp_path: Path) -> None:
    """They may outlive a killed writer by seconds."""
    begin(tmp_path, WANTED)
    with claimed(tmp_path, 0) as ours:
        child = mp.get_context("fork").Process(target=signal.pause)
        child.start()
        assert ours
    process, got = holder(tmp_path, 0)
    for each in (process, child):
        each.kill()
        each.join()
    assert got


def test_on_a_disk_without_locks_everything_is_everybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(under_test.fcntl, "lockf", none)
    folder = written(tmp_path)
    with claimed(folder, 0) as ours:
        assert not ours, "it is there"
    finish(folder, WANTED, TARGETS)
    Store(folder).check()


def test_a_shard_that_changed_since_it_was_written_is_written_again(tmp_path: Path) -> None:
    folder = written(tmp_path)
    held = bytearray((folder / "shard-00001.npy").read_bytes())
    held[-7] ^= 4
    (folder / "shard-00001.npy").write_bytes(held)
    with pytest.raises(ValueError, match=r"shard-00001.npy is not what was written: the same command writes it again"):
        finish(folder, WANTED, TARGETS)
    assert missing(folder, WANTED) == [1] and not (folder / "manifest.json").exists()
    write_shard(folder, WANTED, 1, chunks(1))
    finish(folder, WANTED, TARGETS)
    Store(folder).check()


@pytest.mark.parametrize("targets", [TARGETS[:6], TARGETS - 1, TARGETS + 14])
def test_true_classes_that_cannot_be_are_refused(targets: np.ndarray[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="true classes are 7 numbers below 20, one a sample"):
        finish(written(tmp_path), WANTED, targets)


def test_one_who_comes_late_to_the_finish_finds_the_store(store: Path) -> None:
    before = bytes_of(store)
    assert finish(store, WANTED, TARGETS) == Store(store).manifest
    with claimed(store, 1) as ours:
        assert not ours
    assert bytes_of(store) == before


def test_what_a_finish_that_was_killed_left_is_taken_away(store: Path, tmp_path: Path) -> None:
    whole = bytes_of(store)
    again = written(tmp_path / "again")
    for name, held in whole.items():
        (again / name).write_bytes(held)
    for name in (".shard-00001.npy.lock", ".finish.lock", ".manifest.json.12@host"):
        (again / name).write_text("")
    (again / ".nfs0001").write_text("theirs")
    assert begin(again, WANTED)
    assert bytes_of(again) == whole | {".nfs0001": b"theirs"}


def test_a_disk_that_is_too_small_is_said_before_anything_is_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage: Any = shutil.disk_usage(tmp_path)
    room = 7 * 4 * LAYOUT.bytes_a_view + 4 * 7
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room))
    check_room(tmp_path / "not" / "yet", WANTED)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=room - 1))
    with pytest.raises(
        ValueError, match=r"0\.00 GB of labels do not fit on the disk .* fewer --crops or a smaller --top"
    ):
        check_room(tmp_path / "not" / "yet", WANTED)
    check_room(written(tmp_path / "begun", 0), WANTED)


def _full(folder: Path, room: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        write_shard(folder, WANTED, 1, chunks(1))
    except ValueError as error:
        (folder.parent / "said").write_text(str(error)[:room])
        os._exit(
            0 if "could not be written (File too large): make room, then the same command goes on" in str(error) else 1
        )


@pytest.mark.parametrize("room", [100, 300, 450])
def test_a_disk_that_is_full_is_one_sentence_and_leaves_no_half_of_a_shard(room: int, tmp_path: Path) -> None:
    folder = written(tmp_path / "store", 0)
    before = bytes_of(folder)
    process = mp.get_context("fork").Process(target=_full, args=(folder, room))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert bytes_of(folder) == before
    write_shard(folder, WANTED, 1, chunks(1))
    assert missing(folder, WANTED) == [2]


def _all(folder: Path, start: Any) -> None:
    start.wait()
    begin(folder, WANTED)
    for number in range(3):
        with claimed(folder, number) as ours:
            if ours:
                write_shard(folder, WANTED, number, chunks(number))
    if not missing(folder, WANTED):
        finish(folder, WANTED, TARGETS)


@pytest.mark.parametrize("round", range(5))
def test_many_who_begin_and_finish_at_the_same_moment_make_one_store(round: int, store: Path, tmp_path: Path) -> None:
    context: Any = mp.get_context("fork")
    start, folder = context.Event(), tmp_path / "shared"
    crowd = [context.Process(target=_all, args=(folder, start)) for _ in range(6)]
    for process in crowd:
        process.start()
    start.set()
    for process in crowd:
        process.join()
    assert [process.exitcode for process in crowd] == [0] * 6
    assert bytes_of(folder) == bytes_of(store)


def test_a_manifest_in_the_making_is_the_one_asked_for(tmp_path: Path) -> None:
    begin(tmp_path, WANTED)
    assert isinstance(under_test.manifests.read(tmp_path, "unfinished.json"), Manifest)
    assert under_test.manifests.read(tmp_path, "unfinished.json") == WANTED
