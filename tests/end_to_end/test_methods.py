"""Every method from float to two bits on digits: it learns, can be stopped, and leaves what it trained."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import stillbit
from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.distill.settings import TeacherSettings, WriteSettings
from stillbit.layers.walk import quantizers, weights
from stillbit.methods import RECIPES, labels
from stillbit.methods.judge import judge
from stillbit.methods.recipe import Recipe
from stillbit.methods.target import Target, open_target
from stillbit.models import names
from stillbit.train import checkpoint
from stillbit.train.weights import load
from tests.cli.command import works
from tests.methods import small
from tests.methods.conftest import Ran
from tests.methods.test_perform import WRITTEN, files, stopping

SIZE = 8
"""Pixels of a side, as scikit-learn has them: four tokens, and a step takes 30 ms."""
SMALL: dict[str, Any] = {"model": {"img_size": SIZE}, "data": {"batch_size": 128}, "schedule": {"epochs": 2}}
"""Twenty steps in all."""


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run that reads a little, and the labels that it wrote."""
    root = tmp_path_factory.mktemp("start")
    recipe = small.recipe("fp", root, **SMALL | {"data": {"batch_size": 64}, "schedule": {"epochs": 3}})
    folder = small.run(recipe)[0].folder
    write = WriteSettings(output=root / "labels", crops=4, scale=(0.8, 1.0), hflip=0.0, precision="fp32")
    teachers = TeacherSettings(teacher=(str(folder),), device="cpu")
    asked = labels.Asked(teachers=teachers, data=DataSettings(dataset="digits", workers=0), write=write)
    assert labels.write(asked, lambda standing: None).written
    return folder


def recipe(method: str, root: Path, start: Path) -> Recipe:
    """The recipe as it is, but for its size: ten steps an epoch, the second epoch for annealing where there is any."""
    own = RECIPES[method]()
    made = small.recipe(method, root, **SMALL)
    made = replace(made, optim=replace(own.optim, lr=3e-3 if own.optim.opt == "adamw" else 1e-2))
    if own.dynamics.anneal.anneal_epochs:
        anneal = replace(own.dynamics.anneal, anneal_epochs=1)
        made = small.change(made, dynamics={"anneal": anneal}, schedule={"min_lr": 1e-3})
    if own.distill.taught and own.distill.teacher is None:
        made = replace(made, augment=AugmentSettings())  # the crops are those of the store
        made = small.change(made, distill={"labels": start.parent / "labels"})
    return made if method == "fp" else small.change(made, model={"initial_checkpoint": start})


def epochs(count: int) -> str:
    return f"{count} epoch{'s' * (count > 1)}"


@pytest.fixture(scope="module", params=RECIPES)
def ran(request: pytest.FixtureRequest, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A method, performed from beginning to end."""
    wanted = recipe(request.param, tmp_path_factory.mktemp(request.param), start)
    return Ran(wanted, *small.run(wanted))


def lines(folder: Path, kind: str) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_a_method_learns(ran: Ran) -> None:
    first, *_, last = [
        sum(row[name] for name in ("loss", "labels", "teacher") if name in row) for row in lines(ran.folder, "step")
    ]
    assert last < first
    assert ran.result.best["top1"] > 20, "ten classes"
    assert set(files(ran.folder)) == WRITTEN


def same(one: Path, other: Path) -> None:
    """Two runs that ended with the same bits, in everything that a training remembers."""
    here, there = (checkpoint.read(folder / "last.pt") for folder in (one, other))
    assert here["position"] == there["position"] and here["best"] == there["best"]
    for part in ("model", "optimizer", "schedule", "hooks"):
        alike(here[part], there[part], part)
    assert files(one)["model.safetensors"] == files(other)["model.safetensors"]
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in lines(f, "epoch")] for f in (one, other)]
    assert timeless[0] == timeless[1]


def alike(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), where
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for name, value in one.items():
            if name not in ("log", "seconds"):
                alike(value, other[name], f"{where}.{name}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, (here, there) in enumerate(zip(one, other, strict=True)):
            alike(here, there, f"{where}.{number}")
    else:
        assert one == other, where


def stopped_and_gone_on(ran: Ran, root: Path, *steps: int) -> Path:
    """The same run, stopped after these steps."""
    wanted = small.change(ran.recipe, output={"output": root})
    for step in steps:
        with pytest.MonkeyPatch.context() as patched:
            stopping(step, patched)
            assert small.run(wanted)[0].signal == signal.SIGTERM
        wanted = small.change(wanted, output={"resume": "auto"})
        torch.rand(step)  # what others draw in between
    return small.run(wanted)[0].folder


def test_a_method_that_is_stopped_late_and_goes_on_is_the_one_that_was_not(ran: Ran, tmp_path: Path) -> None:
    """After 17 of 20 steps penalties have risen, weights are frozen, and the annealing is at work; bits still learn."""
    same(stopped_and_gone_on(ran, tmp_path, 17), ran.folder)


@pytest.mark.slow
@pytest.mark.parametrize("steps", [(1, 4), (5, 6), (15, 18, 19)], ids=str)
def test_a_method_may_be_stopped_anywhere_and_often(ran: Ran, steps: tuple[int, ...], tmp_path: Path) -> None:
    same(stopped_and_gone_on(ran, tmp_path, *steps), ran.folder)


def test_the_file_of_a_method_answers_as_its_run_does(ran: Ran) -> None:
    assert ran.result.model is not None
    target = open_target(str(ran.folder))
    if ran.recipe.quant is None:
        model: Any = names.create("vit_pico_patch4_32", num_classes=10, img_size=SIZE, in_chans=1)
        load(model, ran.result.model)
    else:
        model = stillbit.load(ran.result.model)
        learned = ran.recipe.method == "qvit_mixed"  # whose codes lie on the grid of 8 bits, whatever their width
        few = 1 if ran.recipe.quant.bits == "w1a1" else 2
        assert {weight.bits for weight in weights(model)} == ({8} if learned else {few, 8})
    images = torch.randn(16, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(model.eval()(images), target.model(images))
    scores = judge(Target(model, target.recipe, "its file"), device="cpu").scores
    assert scores["top1"] == ran.result.best["top1"], "what was measured while it trained"


def test_scales_of_tokens_survive_another_resolution(start: Path, tmp_path: Path) -> None:
    """OFQ's, from 4 tokens to 9; without them any size will do."""
    for name, granularity in (("token", "token"), ("tensor", "tensor")):
        wanted = small.change(recipe("ofq", tmp_path, start), quant={"activation_granularity": granularity})
        file = small.run(small.change(wanted, output={"experiment": name}))[0].model
        assert file is not None
        larger: Any = stillbit.load(file, img_size=12)
        scales = {math.prod(quantizer.blocks) for _, role, quantizer in quantizers(larger) if role == "query"}
        assert scales == {9 if name == "token" else 1}
        assert larger.eval()(torch.randn(2, 1, 12, 12)).isfinite().all()


@pytest.mark.parametrize("method", RECIPES)
def test_a_method_says_what_it_would_cost(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    seen = f"--dataset digits --in-chans 1 --img-size {SIZE} --batch-size 64 --workers 0"
    said = works(f"train {method} {seen}{' --bits w2a2' * (method != 'fp')} --dry-run")
    assert f"{epochs(RECIPES[method]().schedule.epochs)} of 21, 64 images each" in said and "images/s" in said
    assert not list(tmp_path.iterdir())
