"""A store of labels is the same, byte by byte, whoever writes it and whatever happens to them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from stillbit.models import names
from stillbit.train import weights
from tests.cli.command import everything, start, works
from tests.cli.pictures import split
from tests.end_to_end.test_kill import children, until, wait
from tests.end_to_end.test_torchrun import codes, together, torchrun

SHARDS = 8


class Whole(NamedTuple):
    """The store that nobody disturbed, and how long it took to write."""

    files: dict[str, bytes]
    seconds: float


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> str:
    data = split(tmp_path_factory.mktemp("data"), "train", count=20)
    file = weights.save(names.create("vit_pico_patch4_32", num_classes=2), data / "teacher.safetensors")
    return (
        f"labels write --teacher vit_pico_patch4_32 --teacher-weights {file} --data-dir {data} --crops 60"
        " --batch-size 64 --shard-samples 5 --workers 0 --output"
    )


@pytest.fixture(scope="module")
def whole(words: str, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    folder = tmp_path_factory.mktemp("whole")
    assert wait(start(f"{words} {folder / 'warm-up'}", log=folder / "log")) == 0, (folder / "log").read_text()
    began = time.monotonic()
    assert wait(start(f"{words} {folder / 'store'}", log=folder / "log")) == 0
    took = time.monotonic() - began
    files = everything(folder / "store")
    assert len(files) == SHARDS + 2
    return Whole(files, took)


def reaches(store: Path, shards: int) -> None:
    """Wait until so many files are finished."""
    until(lambda: len(list(store.glob("shard-*.npy.sha256"))) >= shards)


def killed(moment: float, words: str, whole: Whole, folder: Path) -> None:
    process = start(f"{words} {folder / 'store'}", log=folder / "log")
    process.join(moment * whole.seconds)
    process.kill()
    assert wait(process) in (-signal.SIGKILL, 0), "it may have been faster than the whole one"
    assert wait(start(f"{words} {folder / 'store'}", log=folder / "log")) == 0, (folder / "log").read_text()
    assert everything(folder / "store") == whole.files


def moments(count: int) -> list[float]:
    chance = random.Random(3)
    return [chance.random() for _ in range(count)]


@pytest.mark.parametrize("moment", moments(2))
def test_killed_at_any_moment_the_same_command_ends_with_the_same_bytes(
    moment: float, words: str, whole: Whole, tmp_path: Path
) -> None:
    killed(moment, words, whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(10))
def test_at_ten_random_moments_too(moment: float, words: str, whole: Whole, tmp_path: Path) -> None:
    killed(moment, words, whole, tmp_path)


@pytest.mark.parametrize("count", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_several_ranks_write_together_what_one_writes(count: int, words: str, whole: Whole, tmp_path: Path) -> None:
    assert codes(together(f"{words} {tmp_path / 'store'}", tmp_path, count)) == [0] * count
    assert everything(tmp_path / "store") == whole.files
    assert "8 images" not in (tmp_path / "log0").read_text() and "40 images x 60" in (tmp_path / "log0").read_text()
    assert not (tmp_path / "log1").read_text(), "the first one speaks for all"


@pytest.mark.slow
def test_torchrun_itself_does_too(words: str, whole: Whole, tmp_path: Path) -> None:
    with torchrun(f"{words} {tmp_path / 'store'}", tmp_path) as job:
        assert job.wait(90) == 0, (tmp_path / "torchrun").read_text()
    assert everything(tmp_path / "store") == whole.files


def test_one_rank_is_killed_and_the_others_do_its_work(words: str, whole: Whole, tmp_path: Path) -> None:
    """There is nobody here who ends the others, as torchrun would; and they need no more than the folder."""
    first, second = together(f"{words} {tmp_path / 'store'}", tmp_path)
    reaches(tmp_path / "store", 1)
    second.kill()
    assert codes([first, second]) == [0, -signal.SIGKILL]
    assert everything(tmp_path / "store") == whole.files


@pytest.mark.slow
def test_two_commands_on_one_folder_share_the_work(words: str, whole: Whole, tmp_path: Path) -> None:
    both = [start(f"{words} {tmp_path / 'store'}", log=tmp_path / f"log{number}") for number in range(2)]
    assert codes(both) == [0, 0], (tmp_path / "log1").read_text()
    assert everything(tmp_path / "store") == whole.files


@pytest.mark.parametrize("more", ["--workers 2", pytest.param("--workers 1", marks=pytest.mark.slow)])
def test_processes_that_load_change_nothing(more: str, words: str, whole: Whole, tmp_path: Path) -> None:
    assert wait(start(f"{words} {tmp_path / 'store'} {more}", log=tmp_path / "log")) == 0
    assert everything(tmp_path / "store") == whole.files


@pytest.mark.slow
def test_threads_change_nothing(words: str, whole: Whole, tmp_path: Path) -> None:
    """The store of the others was written with as many as this machine's tests have."""
    for threads in ("1", "2", "3"):
        command = [sys.executable, "-m", "stillbit.cli", *f"{words} {tmp_path / threads}".split()]
        environment = os.environ | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        assert everything(tmp_path / threads) == whole.files


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    ("tell", "workers"),
    [pytest.param(os.kill, 0, marks=pytest.mark.slow, id="alone"), pytest.param(os.killpg, 2, id="with-workers")],
)
def test_asked_to_stop_it_stops_quickly_says_how_far_it_is_and_goes_on(
    tell: Callable[[int, int], None],
    workers: int,
    kind: signal.Signals,
    code: int,
    words: str,
    whole: Whole,
    tmp_path: Path,
) -> None:
    process = start(f"{words} {tmp_path / 'store'} --workers {workers}", log=tmp_path / "log")
    reaches(tmp_path / "store", 2)
    assert process.pid is not None
    began = time.monotonic()
    tell(process.pid, kind)
    assert wait(process) == code
    assert time.monotonic() - began < 10
    said = (tmp_path / "log").read_text()
    assert said.startswith("Stopped at ") and said.count("\n") == 1
    assert "%: the same command goes on" in said
    assert {"manifest.json", ".finish.lock"}.isdisjoint(everything(tmp_path / "store"))
    assert not [name for name in everything(tmp_path / "store") if name[0] == "."]
    assert wait(start(f"{words} {tmp_path / 'store'}", log=tmp_path / "log")) == 0
    assert everything(tmp_path / "store") == whole.files


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(words: str, whole: Whole, tmp_path: Path) -> None:
    """The system refuses to make a file longer than so many bytes: the nearest to a full disk that anybody may do."""
    room = max(map(len, whole.files.values())) - 1000
    assert wait(start(f"{words} {tmp_path / 'store'}", log=tmp_path / "log", room=room)) == 2
    said = (tmp_path / "log").read_text()
    assert said.count("\n") == 1 and "shard-00000.npy could not be written (File too large): make room" in said
    assert set(everything(tmp_path / "store")) == {"unfinished.json"}
    assert wait(start(f"{words} {tmp_path / 'store'}", log=tmp_path / "log")) == 0
    assert everything(tmp_path / "store") == whole.files


@pytest.mark.slow
def test_one_that_loses_a_process_that_loads_images_ends_and_goes_on(words: str, whole: Whole, tmp_path: Path) -> None:
    process = start(f"{words} {tmp_path / 'store'} --workers 2", log=tmp_path / "log")
    reaches(tmp_path / "store", 1)
    assert process.pid is not None
    os.kill(children(process.pid)[0], signal.SIGKILL)
    assert wait(process, 30) == 1
    assert "is killed by signal: Killed" in (tmp_path / "log").read_text()
    assert wait(start(f"{words} {tmp_path / 'store'}", log=tmp_path / "log")) == 0
    assert everything(tmp_path / "store") == whole.files


def test_what_was_written_is_verified_and_the_teacher_says_the_same(words: str, tmp_path: Path) -> None:
    works(f"{words} {tmp_path / 'store'} --crops 3")
    asked = words.removeprefix("labels write ").split(" --crops")[0]
    said = works(f"labels verify {tmp_path / 'store'} {asked}").splitlines()
    assert said[0].startswith("bytes: all ") and said[1].startswith("images: the same 40, in the same order")
    assert said[2].endswith("what it said then, to the bit")
