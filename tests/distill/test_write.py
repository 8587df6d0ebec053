"""A store from beginning to end: the same bytes whoever writes it, however often it was interrupted."""

from __future__ import annotations

import multiprocessing as mp
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.distill.layout import dense
from stillbit.distill.panel import Expert, Panel
from stillbit.distill.seen import Seen
from stillbit.distill.settings import WriteSettings
from stillbit.distill.store import Store
from stillbit.distill.write import PACKAGES, Standing, Work, Written, request, write_labels
from tests.distill.teachers import Pairs, Reader, Zoo, bytes_of, decoded, images, panel, plain, settings

COUNT, SHARDS = 22, 6


def write(out: Path, zoo: Zoo | None = None, wanted: WriteSettings | None = None, **work: Any) -> Written:
    wanted = wanted or settings(out)
    seen, asked = images(zoo or Zoo(COUNT), wanted), panel()
    return write_labels(out, request(seen, asked, wanted), seen, asked, Work(**work))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a store that one process wrote without being disturbed."""
    out = tmp_path_factory.mktemp("whole") / "deep" / "store"
    assert write(out).mine == COUNT * 5
    return bytes_of(out)


def test_a_store_holds_what_the_teacher_says_of_every_view(tmp_path: Path) -> None:
    wanted = settings(tmp_path, label_kind="full")
    write(tmp_path, wanted=wanted)
    store, seen = Store(tmp_path), images(Zoo(COUNT), wanted)
    store.check()
    assert (len(store), store.views, store.manifest.shard_count) == (COUNT, 5, SHARDS)
    for sample in (0, 3, 4, 13, 21):
        records = store.records(sample)
        said = panel()(seen.views(sample).inputs).double().numpy()
        assert np.abs(dense(records, store.layout) - said).max() < 1e-3
        assert np.array_equal(records["box"], seen.views(sample).boxes)
    assert store.targets().tolist() == [i % 7 for i in range(COUNT)]


def test_what_it_says_of_itself_is_the_request_and_no_place_or_time(whole: dict[str, bytes], tmp_path: Path) -> None:
    made = write(tmp_path).manifest
    assert made.teachers == panel().describe()
    assert (made.seed, made.batch_size, made.precision, made.views) == (3, 8, "fp32", 5)
    assert set(made.made_with) == set(PACKAGES)
    text = whole["manifest.json"].decode()
    assert str(tmp_path.parent) not in text and "store" not in text and os.uname().nodename not in text


def test_the_same_request_gives_the_same_bytes_in_another_folder(whole: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path)
    assert bytes_of(tmp_path) == whole


@pytest.mark.parametrize("workers", [1, 2])
def test_with_any_number_of_processes_that_load(workers: int, whole: dict[str, bytes], tmp_path: Path) -> None:
    write(tmp_path, workers=workers)
    assert bytes_of(tmp_path) == whole


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_with_any_number_of_threads(precision: Any, tmp_path: Path) -> None:
    """A teacher whose sums are long enough for several threads to share them."""
    before = torch.get_num_threads()
    written = []
    try:
        for threads in (1, 2, 3):
            out = tmp_path / str(threads)
            wanted = settings(out, batch_size=64, crops=40, precision=precision)
            seen, asked = images(Zoo(8), wanted), panel(0, 1, precision=precision)
            torch.set_num_threads(threads)
            write_labels(out, request(seen, asked, wanted), seen, asked, Work())
            written.append(bytes_of(out))
    finally:
        torch.set_num_threads(before)
    assert written[0] == written[1] == written[2]


def _process(out: Path, log: Path, wait: float, work: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    os.setpgrp()
    write(out, Zoo(COUNT, log=log, wait=wait), **work)


def start(out: Path, log: Path, wait: float = 0.0, **work: Any) -> BaseProcess:
    process: Any = mp.get_context("fork").Process(target=_process, args=(out, log, wait, work))
    process.start()
    assert isinstance(process, BaseProcess)
    return process


def ends(process: BaseProcess) -> None:
    process.join(60)
    assert process.exitcode == 0
    process.close()


def reaches(log: Path, images: int) -> None:
    until(lambda: len(decoded(log)) >= images)


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.005)


@pytest.mark.parametrize("world", [2, 3])
def test_by_any_number_of_ranks_which_share_the_files(world: int, whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "store"
    ranks = [start(out, tmp_path / f"{rank}", 0.02, rank=rank, world=world) for rank in range(world)]
    for rank in ranks:
        ends(rank)
    assert bytes_of(out) == whole
    shares = [decoded(tmp_path / f"{rank}") for rank in range(world)]
    assert sorted(index for share in shares for index in share) == list(range(COUNT)), (
        "each image is decoded by one of them, once"
    )


def test_two_who_do_not_know_of_each_other_share_the_work_too(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "store"
    for process in [start(out, tmp_path / f"{number}", 0.02) for number in range(2)]:
        ends(process)
    assert bytes_of(out) == whole
    assert sorted(decoded(tmp_path / "0") + decoded(tmp_path / "1")) == list(range(COUNT))


def test_one_that_is_killed_leaves_its_file_to_the_others_who_wait_for_it(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "store"
    first = start(out, tmp_path / "first", wait=30)
    reaches(tmp_path / "first", 1)
    waits: list[int] = []

    def tell(standing: Standing) -> None:
        if standing.waits:
            waits.append(standing.waits)
            assert first.pid is not None
            os.kill(first.pid, signal.SIGKILL)

    written = write(out, tell=tell)
    first.join()
    assert waits[0] == 1 and written.mine == COUNT * 5
    assert bytes_of(out) == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_killed_again_and_again_it_ends_with_the_same_bytes_and_redoes_one_file_at_most(
    workers: int, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out, log, chance = tmp_path / "store", tmp_path / "log", random.Random(workers)
    for _ in range(4):
        before = len(decoded(log))
        process = start(out, log, 0.02, workers=workers)
        reaches(log, before + chance.randrange(1, 9))
        process.kill()
        process.join()
    write(out, Zoo(COUNT, log=log), workers=workers)
    assert bytes_of(out) == whole
    # What was loaded ahead of a file's end belongs to the same file, which is what was lost.
    assert COUNT <= len(decoded(log)) <= COUNT + 4 * 4


def test_an_error_in_the_middle_keeps_what_is_finished(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "store"
    with pytest.raises(ValueError, match="animal 13 cannot be used"):
        write(out, Zoo(COUNT, damaged=[13]))
    assert {"shard-00002.npy", "shard-00002.npy.sha256", "unfinished.json"} <= set(bytes_of(out))
    assert "shard-00003.npy" not in bytes_of(out) and "manifest.json" not in bytes_of(out)
    assert write(out).mine == 5 * (COUNT - 12)
    assert bytes_of(out) == whole


def test_damaged_images_are_left_out_and_named(tmp_path: Path) -> None:
    written = write(tmp_path, Zoo(COUNT, damaged=[13, 2]), corrupt="skip")
    assert written.damaged == {"animal 2": "it is empty", "animal 13": "it is empty"}
    store = Store(tmp_path)
    store.check()
    flags = np.stack([store.records(sample)["flags"] for sample in range(COUNT)])
    assert np.flatnonzero((flags == 128).all(1)).tolist() == [2, 13] and not (flags[[0, 1, 3]] & 128).any()


def test_a_finished_store_is_left_as_it_is(tmp_path: Path, whole: dict[str, bytes]) -> None:
    write(tmp_path)
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = write(tmp_path, Zoo(COUNT, damaged=range(COUNT)))
    assert again.mine == 0 and again.manifest == Store(tmp_path).manifest
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == times


def test_it_tells_how_far_it_is(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="animal 13"):
        write(tmp_path, Zoo(COUNT, damaged=[13]))
    heard: list[Standing] = []
    made = write(tmp_path, tell=lambda standing: heard.append(replace(standing)))
    assert heard[0].done == 60 and heard[0].views == plain(made.manifest) == 110
    assert [s.mine for s in heard] == sorted(s.mine for s in heard)
    assert all(s.done + s.part == 60 + s.mine for s in heard) and not any(s.waits for s in heard)


def test_what_it_is_told_by_an_error_ends_it_with_nothing_half_written(whole: dict[str, bytes], tmp_path: Path) -> None:
    def tell(standing: Standing) -> None:
        if standing.mine > 40:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, tell=tell)
    left = bytes_of(tmp_path)
    assert not [name for name in left if name[0] == "."] and "shard-00001.npy.sha256" in left
    write(tmp_path)
    assert bytes_of(tmp_path) == whole


def test_several_teachers_are_all_named(tmp_path: Path) -> None:
    wanted = settings(tmp_path)
    seen, asked = images(Zoo(5), wanted), panel(1, 2)
    made = write_labels(tmp_path, request(seen, asked, wanted), seen, asked, Work()).manifest
    assert [teacher.name for teacher in made.teachers] == ["net 1", "net 2"]
    assert made.teachers[0].sha256 != made.teachers[1].sha256


def test_pairs_of_sentences_are_labelled_as_images_are(tmp_path: Path) -> None:
    pairs: Seen = Pairs(50)
    asked = Panel([Expert(name="reader", model=Reader())], 2)
    wanted = settings(tmp_path, crops=1, label_kind="full", shard_samples=16)
    write_labels(tmp_path, request(pairs, asked, wanted), pairs, asked, Work())
    store = Store(tmp_path)
    store.check()
    assert store.layout.bytes_a_view == 4 and store.manifest.crops is None
    said = Reader()(Pairs(50).tokens).softmax(-1).detach().numpy()
    held = np.concatenate([store.records(sample)["probabilities"] for sample in range(50)])
    assert np.abs(held - said).max() < 0.02
    assert store.targets().tolist() == Pairs(50).follows.tolist()
