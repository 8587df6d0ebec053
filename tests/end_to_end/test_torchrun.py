"""Two processes on one machine: they compute what one would, and what happens to one of them happens to the job."""

from __future__ import annotations

import csv
import json
import multiprocessing as mp
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from stillbit.data.settings import DataSettings
from stillbit.methods import build, perform
from stillbit.methods.recipe import ModelSettings, QuantSettings, Recipe
from stillbit.train import distributed
from stillbit.train.loop import Loop
from stillbit.train.task import Classify
from tests.cli.command import PLAIN, WIDE, start, works

FLOAT = f"train fp {PLAIN} --epochs 2 --log-interval 1 --experiment run"
BITS = f"train lsq {PLAIN} --epochs 2 --log-interval 1 --experiment run --bits w2a2"
SECONDS = 90
"""Nothing here takes longer, unless processes wait for each other in vain."""


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def together(words: str, logs: Path, count: int = 2) -> list[BaseProcess]:
    """``count`` processes with what torchrun tells each; it alone would take ten seconds to start them."""
    told = {"WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    made = []
    for rank in range(count):
        one = {name: str(value) for name, value in (told | {"RANK": rank, "LOCAL_RANK": rank}).items()}
        made.append(start(words, log=logs / f"log{rank}", room=None, **one))
    return made


def codes(processes: list[BaseProcess]) -> list[int | None]:
    end = time.monotonic() + SECONDS
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    held = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    return held


@contextmanager
def torchrun(words: str, logs: Path) -> Iterator[subprocess.Popen[str]]:
    """The real one, with a port of its own."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    said = [*command, "-m", "stillbit.cli", *words.split()]
    environment = os.environ | WIDE | {"OMP_NUM_THREADS": "1"}
    with (logs / "torchrun").open("a") as log:
        job = subprocess.Popen(said, stdout=log, stderr=log, text=True, env=environment, start_new_session=True)
    try:
        yield job
    finally:
        if job.poll() is None:
            os.killpg(job.pid, signal.SIGKILL)
        job.wait()


def rows(run: Path, kind: str = "step") -> list[dict[str, Any]]:
    held = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row for row in held if row["kind"] == kind]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in rows(run)]


def summary(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "summary.csv").read_text().splitlines()))


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_file(run / "model.safetensors") for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def reaches(run: Path, steps: int) -> None:
    end = time.monotonic() + SECONDS
    while not (run / "metrics.jsonl").is_file() or len(rows(run)) < steps:
        assert time.monotonic() < end, "it does not get there"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process with batches of 128: a float run, and one with 2 bits."""
    folder = tmp_path_factory.mktemp("alone")
    works(f"{FLOAT} --experiment float --output", folder)
    works(f"{BITS} --experiment bits --output", folder)
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with two processes with batches of 64."""
    folder = tmp_path_factory.mktemp("pair")
    for words in (f"{FLOAT} --experiment float", f"{BITS} --experiment bits"):
        assert codes(together(f"{words} --batch-size 64 --output {folder}", folder)) == [0, 0], (
            folder / "log0"
        ).read_text()
    return folder


def test_two_processes_have_the_losses_of_one_with_twice_the_batch(alone: Path, pair: Path) -> None:
    assert len(losses(alone / "float")) == 20
    assert losses(pair / "float") == pytest.approx(losses(alone / "float"), rel=1e-5)


def test_with_two_bits_too_until_a_last_bit_of_a_sum_moves_a_level(alone: Path, pair: Path) -> None:
    assert losses(pair / "bits")[:3] == pytest.approx(losses(alone / "bits")[:3], rel=1e-5)
    assert losses(pair / "bits") == pytest.approx(losses(alone / "bits"), rel=0.02)


def test_images_are_counted_once_though_the_last_batch_is_uneven(alone: Path, pair: Path, tmp_path: Path) -> None:
    """Of the last batch, two images, two of four processes get one, and two get none."""
    assert 450 % (4 * 112) == 2
    words = f"evaluate {alone / 'bits'} --json --workers 0 --batch-size 112"
    one = json.loads(works(words))
    assert codes(together(words, tmp_path, count=4)) == [0, 0, 0, 0]
    four = json.loads((tmp_path / "log0").read_text())
    assert [four[name] for name in ("top1", "top5", "images")] == [one[name] for name in ("top1", "top5", "images")]
    assert four["eval_loss"] == pytest.approx(one["eval_loss"], rel=1e-6)
    for name in ("top1", "top5"):
        assert [row[name] for row in summary(pair / "float")] == [row[name] for row in summary(alone / "float")]


def test_only_the_first_process_speaks(pair: Path) -> None:
    said = (pair / "log0").read_text()
    assert "epoch 2/2 step 10/10" in said and said.count("Best top1 ") == 2
    assert not (pair / "log1").read_text()


def compare(rank: int, port: int, out: Path) -> None:
    """Train a few steps by the library, and write down what differs between the processes."""
    os.environ.update(WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1")
    os.environ["MASTER_PORT"] = str(port)
    data_settings = DataSettings(dataset="digits", batch_size=32, workers=0)
    model_settings = ModelSettings(in_chans=1, img_size=8)
    quant = QuantSettings(bits="w2a2", weight="lsq+", activation="lsq+")
    share = distributed.join("cpu")
    recipe = Recipe(method="lsq_plus", model=model_settings, quant=quant, data=data_settings)
    data = build.open_data(recipe)
    recipe = build.resolved(recipe, data)
    model, look = perform.start(recipe, data, share, fresh=True)
    loader, _ = build.loaders(recipe, data, look, share)
    training = perform.training_of(recipe, model, share, len(loader))
    loop = Loop(Classify(recipe.loss, 10), [], recipe.machine, share, None)
    differ = different(model, share.world)
    for batch in islice(loader.epoch(0), 4):
        loop.step(training, batch, 64)
    moved = [name for name, value in model.named_parameters() if name.endswith("scale") and value.grad is not None]
    out.write_text(json.dumps({"before": differ, "after": different(model, share.world), "scales": len(moved)}))
    distributed.leave()


def different(model: torch.nn.Module, world: int) -> list[str]:
    names = []
    for name, tensor in model.state_dict().items():
        held = [torch.empty_like(tensor) for _ in range(world)]
        torch.distributed.all_gather(held, tensor)
        if not all(torch.equal(other, tensor) for other in held):
            names.append(name)
    return names


def test_all_scales_and_weights_are_the_same_in_all_processes(tmp_path: Path) -> None:
    port, context = free_port(), mp.get_context("forkserver")
    outs = [tmp_path / f"{rank}" for rank in range(2)]
    processes: list[BaseProcess] = [context.Process(target=compare, args=(r, port, outs[r])) for r in range(2)]
    for process in processes:
        process.start()
    assert codes(processes) == [0, 0]
    for out in outs:
        held = json.loads(out.read_text())
        assert held["before"] == held["after"] == [] and held["scales"] > 40


@pytest.mark.slow
def test_sharded_training_has_the_losses_of_copied_training(pair: Path, tmp_path: Path) -> None:
    for name, words in (("float", FLOAT), ("bits", BITS)):
        words = f"{words} --experiment {name} --batch-size 64 --fsdp"
        assert codes(together(f"{words} --output {tmp_path}", tmp_path)) == [0, 0], (tmp_path / "log0").read_text()
    assert losses(tmp_path / "float") == pytest.approx(losses(pair / "float"), rel=1e-5)
    assert losses(tmp_path / "bits")[:3] == pytest.approx(losses(pair / "bits")[:3], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("more", ["--model-ema", "--fsdp"])
def test_a_job_that_is_killed_whole_goes_on_with_the_same_bits(more: str, tmp_path: Path) -> None:
    words = f"{BITS} --batch-size 64 --checkpoint-steps 3 {more} --output"
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    assert codes(together(f"{words} {tmp_path / 'whole'}", tmp_path / "whole")) == [0, 0]
    processes = together(f"{words} {tmp_path / 'cut'}", tmp_path / "cut")
    reaches(tmp_path / "cut" / "run", 14)
    for process in processes:
        process.kill()
    assert codes(processes) == [-signal.SIGKILL, -signal.SIGKILL]
    assert codes(together(f"{words} {tmp_path / 'cut'} --resume auto", tmp_path / "cut")) == [0, 0]
    assert same_weights(tmp_path / "cut" / "run", tmp_path / "whole" / "run")
    assert summary(tmp_path / "cut" / "run") == summary(tmp_path / "whole" / "run")


def test_a_run_of_two_processes_goes_on_with_one_that_does_the_work_of_both(pair: Path, tmp_path: Path) -> None:
    """As many images a step: what they are shared out to may change."""
    words = f"{FLOAT} --output {tmp_path}"
    processes = together(f"{words} --batch-size 64 --checkpoint-steps 3", tmp_path)
    reaches(tmp_path / "run", 8)
    for process in processes:
        process.kill()
    codes(processes)
    works(f"{words} --resume auto")
    assert losses(tmp_path / "run") == pytest.approx(losses(pair / "float"), rel=1e-5)


def test_when_one_process_is_killed_the_job_ends_with_a_sentence_and_goes_on_later(pair: Path, tmp_path: Path) -> None:
    words = f"{BITS} --experiment bits --batch-size 64 --checkpoint-steps 3"
    with torchrun(f"{words} --output {tmp_path}", tmp_path) as job:
        reaches(tmp_path / "bits", 8)
        os.kill(children(job.pid)[1], signal.SIGKILL)
        began = time.monotonic()
        assert job.wait(SECONDS) == 1
    assert time.monotonic() - began < 20
    said = (tmp_path / "torchrun").read_text()
    sentence = "stillbit: another process of this job is gone, so this one stops too: go on with --resume auto\n"
    assert sentence in said.partition("Traceback")[0], "what torchrun prints at the end is not ours"
    assert codes(together(f"{words} --resume auto --output {tmp_path}", tmp_path)) == [0, 0]
    assert same_weights(tmp_path / "bits", pair / "bits")
    assert summary(tmp_path / "bits") == summary(pair / "bits")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_asked_to_stop_saves_and_goes_on_with_the_same_bits(
    kind: signal.Signals, pair: Path, tmp_path: Path
) -> None:
    """In a terminal all processes hear Ctrl-C; a cluster tells torchrun, which tells the others."""
    words = f"{BITS} --experiment bits --batch-size 64"
    with torchrun(f"{words} --output {tmp_path}", tmp_path) as job:
        reaches(tmp_path / "bits", 14)
        (os.kill if kind == signal.SIGTERM else os.killpg)(job.pid, kind)
        assert job.wait(SECONDS) != 0
    said = (tmp_path / "torchrun").read_text()
    assert said.count("Stopped, and saved in ") == 1
    assert torch.load(tmp_path / "bits" / "last.pt", weights_only=True)["position"]["step"] >= 14
    assert codes(together(f"{words} --resume auto --output {tmp_path}", tmp_path)) == [0, 0]
    assert same_weights(tmp_path / "bits", pair / "bits")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("train fp --dataset digit", "did you mean digits?"),
        (f"train fp {PLAIN} --batch-size 1000 --epochs 1", "a batch of 2000 is larger than the data, 1347 images"),
    ],
)
def test_a_mistake_is_said_once_by_the_first_process(words: str, sentence: str, tmp_path: Path) -> None:
    first, second = together(words, tmp_path)
    first.join(SECONDS)
    assert first.exitcode == 2 and second.exitcode is None, "torchrun has time to end the other"
    second.kill()
    assert sentence in (tmp_path / "log0").read_text() and not (tmp_path / "log1").read_text()
