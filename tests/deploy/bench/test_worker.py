"""An engine in a process of its own does turns, and says why it cannot."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stillbit.deploy.about import About
from stillbit.deploy.bench import worker as bench_worker
from stillbit.deploy.bench.worker import (
    Contender,
    Ready,
    Subject,
    Turn,
    engine,
    heard,
    peak,
    serve,
    started,
    turn,
    words_of,
)
from stillbit.deploy.file.packed import Packed, write
from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Input
from tests.deploy import programs

VIT = Subject(model="vit_pico_patch4_32", inputs=(Input(name="input", dims=(-1, 3, 32, 32)),), classes=10)
FLOAT = Contender(name="torch fp32", kind="torch", source=VIT.model, precision="fp32", subject=VIT)
LINEAR = Subject(model="", inputs=programs.linear().inputs, classes=3)


def packed(folder: Path) -> Contender:
    write(Packed(program=programs.linear(), about=About()), folder / "linear.safetensors")
    return Contender(name="integer", kind="integer", source=str(folder / "linear.safetensors"), subject=LINEAR)


def served(contender: Contender, *words: Any) -> list[Any]:
    """What a worker says, here in a thread."""
    here, there = multiprocessing.Pipe()
    thread = threading.Thread(target=serve, args=(contender, there))
    thread.start()
    said = [here.recv()]
    for word in words if isinstance(said[0], Ready) else ():
        here.send(word)
        said.append(here.recv())
    if isinstance(said[0], Ready):
        here.send(None)
    thread.join()
    return said


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_worker, "SECONDS", 0.0)


def test_a_worker_gets_ready_and_then_does_a_turn_for_every_batch(tmp_path: Path) -> None:
    ready, one, many = served(packed(tmp_path), 1, 3)
    assert isinstance(ready, Ready) and ready.libraries > 0
    for each in (one, many):
        assert isinstance(each, Turn) and 0 < each.seconds < 1 and each.peak >= ready.libraries


def test_what_cannot_get_ready_says_why(tmp_path: Path) -> None:
    (said,) = served(replace(packed(tmp_path), source=str(tmp_path / "nothing.safetensors")))
    assert "nothing.safetensors" in said and "\n" not in said
    assert words_of(ValueError("first\nsecond")) == "ValueError: first" and words_of(KeyError()) == "KeyError"


def test_a_turn_is_its_median_and_begins_unmeasured() -> None:
    sizes = []

    def run(images: Any) -> None:
        sizes.append(images.shape)

    made = turn(run, 4, Wanted(inputs=(Input(name="input", dims=(-1, 3, 5)),), limits={}))
    assert sizes == [(4, 3, 5)] * (1 + bench_worker.LEAST) and made.seconds < 1


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_float_model_is_a_yardstick(precision: Any) -> None:
    run = engine(replace(FLOAT, precision=precision))
    assert run(np.zeros((2, 3, 32, 32), np.float32)).shape == (2, 10)


def test_memory_is_this_processs_own() -> None:
    assert 10e6 < peak() < 100e9


@pytest.mark.slow  # starts a process, which imports torch
def test_a_process_that_ends_is_heard(tmp_path: Path) -> None:
    with started(serve, packed(tmp_path)) as pipe:
        assert isinstance(heard(pipe), Ready)
        pipe.send(None)
        assert heard(pipe) == "its process ended"
