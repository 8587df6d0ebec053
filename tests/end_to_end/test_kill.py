"""A run that is killed, stopped, or left without room goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.cli.command import everything, mistake, start, works
from tests.cli.pictures import split

# Everything that draws random numbers or remembers something is on, and a checkpoint is written at every third step.
TRAIN = (
    "train lsq --corrupt skip --img-size 8 --workers 0 --bits w2a2 --lr 2e-3 --batch-size 4 --epochs 2"
    " --mixup 0.2 --cutmix 0.5 --drop-path 0.2 --reprob 0.2 --aa rand-m5 --clip-grad 1"
    " --model-ema --model-ema-decay 0.9 --log-interval 1 --checkpoint-steps 3 --experiment run"
)
STEPS, EPOCHS = 20, 2


class Whole(NamedTuple):
    """The run that nobody disturbed, and how long it took."""

    folder: Path
    seconds: float


def wait(process: BaseProcess, seconds: float = 60) -> int:
    process.join(seconds)
    code = process.exitcode
    process.kill()
    assert code is not None, "it does not end"
    return code


def until(true: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never happens"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The command. One of its 40 images is damaged, and left out."""
    data = split(tmp_path_factory.mktemp("data"), "train", count=20)
    (split(data, "val", count=4) / "train" / "b" / "7.jpg").write_text("damaged")
    return f"{TRAIN} --data-dir {data} --output"


Begin = Callable[..., BaseProcess]


@pytest.fixture(scope="module")
def begin(train: str) -> Begin:
    def begin(output: Path, more: str = "", log: str = "log", room: int | None = None) -> BaseProcess:
        return start(f"{train} {output} {more}", log=output / log, room=room)

    return begin


def reaches(folder: Path, lines: int) -> None:
    """Wait until a run has logged so many lines, with one for each step and each epoch."""
    path = folder / "metrics.jsonl"
    until(lambda: path.is_file() and path.read_text().count("\n") >= lines)


@pytest.fixture(scope="module")
def whole(begin: Begin, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    output = tmp_path_factory.mktemp("whole")
    assert wait(begin(output, "--experiment warm-up --epochs 1")) == 0
    began = time.monotonic()
    assert wait(begin(output)) == 0
    return Whole(output / "run", time.monotonic() - began)


def same(folder: Path, whole: Path) -> None:
    """Whether a run ended with the very files of another, but for the times in them."""
    ours, theirs = load_file(folder / "model.safetensors"), load_file(whole / "model.safetensors")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("last.pt", "best.pt"):
        held, wanted = (torch.load(path / name, weights_only=True) for path in (folder, whole))
        for part in ("model", "ema", "optimizer", "schedule", "position", "best", "scores"):
            assert equal(held[part], wanted[part]), f"{part} of {name}"
    assert (folder / "summary.csv").read_text() == (whole / "summary.csv").read_text()
    assert rows(folder) == rows(whole)
    assert everything(folder).keys() == everything(whole).keys(), "nothing half written is left"


def equal(a: object, b: object) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def rows(folder: Path) -> list[dict[str, object]]:
    timeless = ("seconds", "images_per_second")
    held = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key not in timeless} for row in held]


def test_the_undisturbed_run_logs_every_step_and_every_epoch_once(whole: Whole) -> None:
    held = rows(whole.folder)
    assert [row["step"] for row in held if row["kind"] == "step"] == list(range(1, STEPS + 1))
    assert [row["epoch"] for row in held if row["kind"] == "epoch"] == list(range(1, EPOCHS + 1))


def killed(moment: float, begin: Begin, whole: Whole, output: Path) -> None:
    """A run killed after ``moment`` of its time, and resumed, against the whole one."""
    process = begin(output)
    process.join(moment * whole.seconds)
    process.kill()
    assert wait(process) in (-signal.SIGKILL, 0), "it may have been faster than the whole one"
    assert wait(begin(output, "--resume auto")) == 0, (output / "log").read_text()
    same(output / "run", whole.folder)


def moments(count: int) -> list[float]:
    chance = random.Random(3)
    return [chance.random() for _ in range(count)]


@pytest.mark.parametrize("moment", moments(2))
def test_a_run_that_is_killed_and_resumed_ends_with_the_same_bits(
    moment: float, begin: Begin, whole: Whole, tmp_path: Path
) -> None:
    killed(moment, begin, whole, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("moment", moments(10))
def test_at_ten_random_moments_too(moment: float, begin: Begin, whole: Whole, tmp_path: Path) -> None:
    killed(moment, begin, whole, tmp_path)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bits(
    begin: Begin, whole: Whole, tmp_path: Path
) -> None:
    """Each time it comes a little further; the first time there is no checkpoint yet, but a line of the log."""
    for number in (1, 5, 9, 16):
        process = begin(tmp_path, "--resume auto")
        reaches(tmp_path / "run", number)
        process.kill()
        assert wait(process) == -signal.SIGKILL
    assert wait(begin(tmp_path, "--resume auto")) == 0
    same(tmp_path / "run", whole.folder)


@pytest.mark.slow
def test_a_checkpoint_half_written_is_never_taken_for_one(begin: Begin, whole: Whole, tmp_path: Path) -> None:
    process, run = begin(tmp_path), tmp_path / "run"
    until(lambda: any(path.stat().st_size > 0 for path in run.glob(".last.pt.*") if path.exists()))
    process.kill()
    assert wait(process) == -signal.SIGKILL
    assert wait(begin(tmp_path, "--resume auto")) == 0
    same(run, whole.folder)


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize(
    ("tell", "workers"),
    [pytest.param(os.kill, 0, marks=pytest.mark.slow, id="alone"), pytest.param(os.killpg, 2, id="with-workers")],
)
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_with_the_same_bits(
    tell: Callable[[int, int], None],
    workers: int,
    kind: signal.Signals,
    code: int,
    begin: Begin,
    whole: Whole,
    tmp_path: Path,
) -> None:
    """A terminal and a cluster tell all processes, those that load images too."""
    process = begin(tmp_path, f"--checkpoint-steps 1000 --workers {workers}")
    reaches(tmp_path / "run", 14)
    assert process.pid is not None
    tell(process.pid, kind)
    assert wait(process) == code
    said = (tmp_path / "log").read_text()
    assert "Traceback" not in said and said.endswith(
        f"Stopped, and saved in {tmp_path / 'run'}: the same command with --resume auto goes on.\n"
    )
    held = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert 13 <= held["position"]["step"] < STEPS, "the step it was in, not the epoch before"
    assert wait(begin(tmp_path, "--resume auto")) == 0
    same(tmp_path / "run", whole.folder)


@pytest.mark.slow
def test_a_checkpoint_for_which_there_is_no_room_is_one_sentence_and_the_one_before_it_stays(
    begin: Begin, whole: Whole, tmp_path: Path
) -> None:
    """The system refuses to make a file longer than so many bytes: the nearest to a full disk that anybody may do."""
    process = begin(tmp_path)
    until((tmp_path / "run" / "last.pt").is_file)
    process.kill()
    wait(process)
    before = (tmp_path / "run" / "last.pt").read_bytes()
    assert wait(begin(tmp_path, "--resume auto", log="full", room=len(before) // 2)) == 2
    said = (tmp_path / "full").read_text().splitlines()[-1]
    assert said.startswith(f"stillbit: {tmp_path / 'run'}/") and "could not be written" in said
    assert said.endswith("the checkpoint before it is untouched: make room, then go on with --resume auto")
    assert (tmp_path / "run" / "last.pt").read_bytes() == before
    assert wait(begin(tmp_path, "--resume auto")) == 0
    same(tmp_path / "run", whole.folder)


def test_two_runs_in_one_folder_are_one_too_many(begin: Begin, whole: Whole, tmp_path: Path) -> None:
    first = begin(tmp_path)
    until((tmp_path / "run" / "last.pt").is_file)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)  # else it might have ended when the second one is ready
    second = begin(tmp_path, "--resume auto", log="second")
    assert wait(second) == 2
    os.kill(first.pid, signal.SIGCONT)
    said = (tmp_path / "second").read_text()
    assert said == f"stillbit: another process trains in {tmp_path / 'run'} right now: choose another --experiment\n"
    assert wait(first) == 0
    same(tmp_path / "run", whole.folder)


@pytest.mark.slow
def test_a_run_that_has_ended_is_resumed_to_what_it_was(train: str, whole: Whole) -> None:
    files = everything(whole.folder)
    said = works(f"{train} {whole.folder.parent} --resume auto")
    assert "has ended already" in said and "Best top1 " in said
    again = everything(whole.folder)
    for name in ("last.pt", "best.pt", "summary.csv", "metrics.jsonl", "model.safetensors"):
        assert files[name] == again[name], name


@pytest.mark.slow
def test_a_run_goes_on_in_another_folder_and_the_old_one_is_left(
    train: str, begin: Begin, whole: Whole, tmp_path: Path
) -> None:
    process = begin(tmp_path)
    reaches(tmp_path / "run", 12)
    process.kill()
    wait(process)
    files = everything(tmp_path / "run")
    assert wait(begin(tmp_path, f"--experiment other --resume {tmp_path / 'run'}")) == 0
    assert everything(tmp_path / "run") == files
    ours, theirs = (load_file(path / "model.safetensors") for path in (tmp_path / "other", whole.folder))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert "exists and is not empty" in mistake(f"{train} {tmp_path} --experiment other --resume {tmp_path / 'run'}")


def test_a_run_that_loses_a_process_that_loads_images_ends(begin: Begin, tmp_path: Path) -> None:
    """As when the system runs out of memory. To wait for images that never come would be worse."""
    process = begin(tmp_path, "--workers 2 --checkpoint-steps 1000")
    reaches(tmp_path / "run", 5)
    assert process.pid is not None
    worker = children(process.pid)[0]
    os.kill(worker, signal.SIGKILL)
    assert wait(process, 30) == 1
    said = (tmp_path / "log").read_text()
    assert f"DataLoader worker (pid {worker}) is killed by signal: Killed" in said
    assert wait(begin(tmp_path, "--resume auto")) == 0


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
