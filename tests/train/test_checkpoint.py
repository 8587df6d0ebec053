"""A run that goes on is the run that never stopped; and a file that is no checkpoint gets one sentence."""

from __future__ import annotations

import errno
import json
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.train import checkpoint
from stillbit.train.hooks import Hook
from stillbit.train.state import Training
from stillbit.train.task import Losses
from tests.train import tiny
from tests.train.small_run import EPOCHS, STEPS, SmallRun

OPTIMIZERS = ["adamw", "sgd", "lamb", "adan", "muon", "lookahead_adamw"]


class Killed(Exception):
    """As good as a kill: nothing after it is done."""


class Killer(Hook):
    """Ends the run where nobody expects it."""

    name = "killer"

    def __init__(self, step: int) -> None:
        self.step = step

    def after_step(self, training: Training, losses: Losses) -> None:
        if training.step == self.step:
            raise Killed


def lines(folder: Path) -> list[dict[str, Any]]:
    """What metrics.jsonl says, without clocks."""
    clocks = ("seconds", "images_per_second")
    read = (json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines())
    return [{k: v for k, v in row.items() if k not in clocks} for row in read]


def assert_same_run(one: SmallRun, other: SmallRun) -> None:
    """Weights to the last bit; what was written down, but for the order in which means were added up."""
    assert tiny.same(tiny.numbers(one.training), tiny.numbers(other.training))
    assert one.training.best == other.training.best and one.training.scores == other.training.scores
    for mine, yours in zip(lines(one.folder), lines(other.folder), strict=True):
        assert mine.pop("kind") == yours.pop("kind") and mine == pytest.approx(yours, rel=1e-12)
    assert tables(one.folder) == [pytest.approx(row, rel=1e-12) for row in tables(other.folder)]


def tables(folder: Path) -> list[list[float]]:
    head, *rows = (folder / "summary.csv").read_text().splitlines()
    assert head.startswith("epoch,step,train_loss")
    return [[float(cell) for cell in row.split(",")] for row in rows]


# -------------------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize(("opt", "until"), [("adamw", 3), ("adamw", 6), *((opt, 13) for opt in OPTIMIZERS)])
def test_a_run_that_was_stopped_and_goes_on_is_the_run_that_never_stopped(opt: str, until: int, tmp_path: Path) -> None:
    whole = SmallRun(tmp_path / "whole", opt).fit()
    stopped = SmallRun(tmp_path / "run", opt).fit(until)
    assert stopped.training.step == until
    stopped.checkpoints.save(stopped.training, "last.pt")
    again = SmallRun(tmp_path / "run", opt).resume()
    assert (again.training.step, again.training.epoch, again.training.batch) == (until, *divmod(until, STEPS))[:3]
    assert_same_run(again.fit(), whole)


@pytest.mark.parametrize("killed", [1, 8, 12, 18])
def test_a_run_that_was_killed_repeats_what_it_lost_and_writes_no_line_twice(killed: int, tmp_path: Path) -> None:
    whole = SmallRun(tmp_path / "whole", checkpoint_steps=5).fit()
    with pytest.raises(Killed):
        SmallRun(tmp_path / "run", checkpoint_steps=5, more=Killer(killed)).fit()
    again = SmallRun(tmp_path / "run", checkpoint_steps=5)
    if (tmp_path / "run" / "last.pt").exists():
        again.resume()
    assert_same_run(again.fit(), whole)


def test_a_run_may_be_killed_again_and_again(tmp_path: Path) -> None:
    whole = SmallRun(tmp_path / "whole").fit()
    for killed in (7, 8, 9, 14):
        run = SmallRun(tmp_path / "run", checkpoint_steps=1, more=Killer(killed))
        if killed > 7:
            run.resume()
        with pytest.raises(Killed):
            run.fit()
    assert_same_run(SmallRun(tmp_path / "run", checkpoint_steps=1).resume().fit(), whole)


def test_killed_between_its_two_checkpoints_an_epoch_is_done_again_and_the_best_is_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = SmallRun(tmp_path / "whole").fit()
    first = SmallRun(tmp_path / "run")
    best = checkpoint.read(whole.folder / "best.pt")["position"]["epoch"]
    written = checkpoint.write

    def stops(held: Any, target: Path) -> None:
        written(held, target)
        if held["position"]["epoch"] == best:
            raise Killed

    monkeypatch.setattr(checkpoint, "write", stops)
    with pytest.raises(Killed):
        first.fit()
    monkeypatch.setattr(checkpoint, "write", written)
    again = SmallRun(tmp_path / "run")
    if (again.folder / "last.pt").exists():
        again.resume()
    assert_same_run(again.fit(), whole)
    held = checkpoint.read(tmp_path / "run" / "best.pt")["model"]
    assert tiny.same(held, checkpoint.read(whole.folder / "best.pt")["model"])


def test_looking_at_a_run_and_saving_it_more_often_changes_nothing(tmp_path: Path) -> None:
    rare, often = SmallRun(tmp_path / "a").fit(), SmallRun(tmp_path / "b", checkpoint_steps=1, checkpoint_keep=1).fit()
    assert tiny.same(tiny.numbers(rare.training), tiny.numbers(often.training))


def test_a_run_may_go_on_in_another_folder(tmp_path: Path) -> None:
    whole = SmallRun(tmp_path / "whole").fit()
    SmallRun(tmp_path / "old", checkpoint_steps=8).fit(8)
    new = SmallRun(tmp_path / "new")
    held = checkpoint.read(tmp_path / "old" / "last.pt")
    checkpoint.resume(new.training, new.resumable, held)
    new.fit()
    assert tiny.same(tiny.numbers(new.training), tiny.numbers(whole.training))
    assert [row["step"] for row in lines(new.folder)] == [12, 12, 16, 18]
    assert len(tables(new.folder)) == EPOCHS


# ------------------------------------------------------------------------------------------------------ which files


def test_the_best_checkpoint_is_the_one_with_the_best_score_and_the_last_is_the_last(tmp_path: Path) -> None:
    run = SmallRun(tmp_path / "run", checkpoint_keep=2).fit()
    assert tiny.files(run.folder) == {"best.pt", "last.pt", "epoch-0002.pt", "metrics.jsonl", "summary.csv"}
    scores = [row["ema_top1"] for row in lines(run.folder) if row["kind"] == "epoch"]
    best = checkpoint.read(run.folder / "best.pt")
    assert best["position"]["epoch"] == 1 + scores.index(max(scores)) == run.training.best["epoch"]
    assert best["best"]["top1"] == max(scores)
    assert checkpoint.read(run.folder / "last.pt")["position"] == {"epoch": 3, "batch": 0, "step": 18}
    assert checkpoint.read(run.folder / "epoch-0002.pt")["position"]["epoch"] == 2
    assert tiny.same(checkpoint.read(run.folder / "last.pt")["model"], run.training.model.state_dict())


def test_a_checkpoint_is_plain_data_that_torch_reads_without_running_anything(tmp_path: Path) -> None:
    run = SmallRun(tmp_path / "run").fit(4)
    run.checkpoints.save(run.training, "last.pt")
    held = torch.load(run.folder / "last.pt", weights_only=True)
    assert held.keys() == checkpoint.PARTS and held["format"] == checkpoint.FORMAT
    assert held["position"] == {"epoch": 0, "batch": 4, "step": 4}


def test_hooks_get_back_what_they_gave(tmp_path: Path) -> None:
    class Memory(Hook):
        name = "memory"

        def __init__(self) -> None:
            self.held: dict[str, Any] = {"step": 0}

        def state(self) -> dict[str, Any]:
            return self.held

        def load_state(self, state: dict[str, Any]) -> None:
            self.held = state

    run, memory = SmallRun(tmp_path / "run").fit(2), Memory()
    memory.held = {"flips": torch.arange(3), "names": ["a"]}
    run.resumable.append(memory)
    run.checkpoints.save(run.training, "last.pt")
    fresh = SmallRun(tmp_path / "run")
    other = Memory()
    fresh.resumable.append(other)
    fresh.resume()
    assert other.held["names"] == ["a"] and torch.equal(other.held["flips"], torch.arange(3))


# --------------------------------------------------------------------------------------------------- whole or not


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def half(held: Any, path: Path) -> None:
    path.write_bytes(b"half of it")
    full()


@pytest.mark.parametrize(
    ("module", "name", "fails"), [(torch, "save", half), (os, "replace", full), (os, "fsync", full)]
)
def test_on_a_full_disk_the_checkpoint_before_stays_and_nothing_else(
    module: Any, name: str, fails: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "last.pt"
    checkpoint.write({"number": 1}, target)
    with monkeypatch.context() as patched, pytest.raises(ValueError) as caught:
        patched.setattr(module, name, fails)
        checkpoint.write({"number": 2}, target)
    said = str(caught.value)
    assert "No space left on device" in said and "--resume auto" in said and str(target) in said and "\n" not in said
    assert tiny.files(tmp_path) == {"last.pt"} and torch.load(target, weights_only=True) == {"number": 1}


def test_on_a_disk_that_is_really_full_the_checkpoint_before_stays(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets nobody make a small disk")
    try:
        checkpoint.write({"numbers": torch.ones(9)}, disk / "last.pt")
        with pytest.raises(ValueError, match=r"could not be written .*full.*untouched: make room") as caught:
            checkpoint.write({"numbers": torch.rand(2_000_000)}, disk / "last.pt")
        assert "\n" not in str(caught.value) and tiny.files(disk) == {"last.pt"}
        assert torch.equal(torch.load(disk / "last.pt", weights_only=True)["numbers"], torch.ones(9))
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # torch closes what it could not write when it likes


def test_stopped_by_hand_in_the_middle_of_writing_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(held: Any, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise KeyboardInterrupt

    checkpoint.write({"number": 1}, tmp_path / "last.pt")
    monkeypatch.setattr(torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write({"number": 2}, tmp_path / "last.pt")
    assert tiny.files(tmp_path) == {"last.pt"}


# ------------------------------------------------------------------------------------------------- what is refused


class Bomb:
    """Runs when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.proof,)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(ValueError) as caught:
        checkpoint.read(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said and all(word in said for word in words), said


def written(tmp_path: Path) -> Path:
    run = SmallRun(tmp_path / "run").fit(1)
    run.checkpoints.save(run.training, "last.pt")
    return run.folder / "last.pt"


def test_a_file_that_is_damaged_or_something_else_gets_one_sentence(tmp_path: Path) -> None:
    whole = written(tmp_path).read_bytes()
    path = tmp_path / "x.pt"
    refused(path, "there is no checkpoint")
    for damaged in (b"", whole[: len(whole) // 2], whole[:-100], os.urandom(1000), b"PK\x03\x04", b"a\nb\n"):
        path.write_bytes(damaged)
        refused(path, "is damaged or no checkpoint of a run", "use another one")
    refused(tmp_path)


def test_code_in_a_file_is_never_run(tmp_path: Path) -> None:
    path, proof = tmp_path / "x.pt", tmp_path / "proof"
    torch.save({"model": Bomb(proof)}, path)
    refused(path, "is damaged or no checkpoint")
    path.write_bytes(pickle.dumps(Bomb(proof)))
    refused(path)
    assert not proof.exists()


@pytest.mark.parametrize("held", [{"model": {}, "epoch": 3}, torch.ones(3), [1, 2], {}])
def test_a_file_of_another_program_gets_one_sentence(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "is no checkpoint of a run: give the last.pt or best.pt of one")


def test_a_checkpoint_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    torch.save({**torch.load(path, weights_only=True), "format": checkpoint.FORMAT + 1}, path)
    refused(path, "was written by a newer stillbit: pip install --upgrade stillbit")
