"""From float to bits on the command line: digits that are read, in seconds."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

import stillbit
from stillbit.data.digits import Digits
from tests.cli.command import PLAIN, call, everything, works
from tests.cli.pictures import split

READ = "--dataset digits --in-chans 1 --img-size 12 --no-aug --workers 0 --batch-size 32"
"""Nine patches of four pixels: enough to read by, and 2 bits hurt."""
COMPILED = (pytest.mark.slow, pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning"))
"""Compiling takes half a minute. The warning is one that torch hides itself."""
SHORT = "--epochs 1 --experiment run --output"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a float run in it."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train fp {READ} --lr 3e-3 --epochs 8 --warmup-epochs 1 --experiment float --output", folder)
    return folder


def quantized(runs: Path, name: str, more: str) -> Path:
    works(f"train lsq {READ} {more} --initial-checkpoint {runs / 'float'} --experiment {name} --output", runs)
    return runs / name


def summary(run: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((run / "summary.csv").read_text().splitlines()))


def top1(run: Path) -> float:
    return max(float(row["top1"]) for row in summary(run))


def same_weights(one: Path, other: Path) -> bool:
    a, b = (load_file(run / "model.safetensors") for run in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_float_model_learns_to_read(runs: Path) -> None:
    assert top1(runs / "float") >= 95


def test_at_8_bits_training_keeps_it_within_half_a_point(runs: Path) -> None:
    run = quantized(runs, "w8a8", "--bits w8a8 --lr 5e-5 --epochs 1")
    assert abs(top1(run) - top1(runs / "float")) <= 0.5


def test_at_2_bits_training_takes_it_far_above_its_calibrated_start(runs: Path) -> None:
    start = quantized(runs, "start", "--bits w2a2 --ends 2 --lr 0 --epochs 1")
    trained = quantized(runs, "w2a2", "--bits w2a2 --ends 2 --lr 2e-3 --epochs 3")
    assert top1(trained) >= top1(start) + 8
    assert top1(trained) >= 90


def test_the_accuracy_in_the_summary_is_the_one_that_evaluation_finds(runs: Path) -> None:
    words = f"evaluate --json --workers 0 --batch-size 32 {runs / 'float'} --checkpoint"
    last, best = (json.loads(works(f"{words} {name}")) for name in ("last", "best"))
    assert all(last[name] == float(summary(runs / "float")[-1][name]) for name in ("top1", "top5", "eval_loss"))
    assert best["top1"] == top1(runs / "float")


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    held = Digits("val")
    return torch.from_numpy(held.pixels)[:, None].float() / 127.5 - 1, torch.from_numpy(held.labels)


def test_the_file_of_a_float_run_is_a_checkpoint_of_timm(tmp_path: Path) -> None:
    works(f"train fp {PLAIN} {SHORT}", tmp_path)
    path = str(tmp_path / "run" / "model.safetensors")
    model = timm.create_model("vit_pico_patch4_32", num_classes=10, in_chans=1, img_size=8, checkpoint_path=path)
    assert right(model) == pytest.approx(top1(tmp_path / "run"))


def test_the_file_of_a_quantized_run_is_a_model_of_stillbit(tmp_path: Path) -> None:
    works(f"train lsq {PLAIN} --bits w3a3 {SHORT}", tmp_path)
    model = stillbit.load(tmp_path / "run" / "model.safetensors")
    assert right(model) == pytest.approx(top1(tmp_path / "run"))
    assert stillbit.summary(model).calibrated


@torch.no_grad()
def right(model: torch.nn.Module) -> float:
    images, labels = digits()
    return 100 * (model.eval()(images).argmax(1) == labels).double().mean().item()


def test_a_recipe_repeats_its_run_to_the_bit(tmp_path: Path) -> None:
    works(f"train lsq {PLAIN} --bits w2a2 --mixup 0.2 --drop-path 0.1 --seed 5 {SHORT}", tmp_path)
    works(f"train --recipe {tmp_path / 'run' / 'recipe.json'} --experiment again")
    assert same_weights(tmp_path / "run", tmp_path / "again")
    assert summary(tmp_path / "run") == summary(tmp_path / "again")
    works(f"train --recipe {tmp_path / 'run'} --experiment other --seed 6")
    assert not same_weights(tmp_path / "run", tmp_path / "other")


def pictures(folder: Path) -> str:
    """What every run on 16 + 8 small JPEGs shares."""
    data = split(split(folder / "data", "train"), "val", count=4)
    return f"--img-size 8 --warmup-epochs 0 --batch-size 4 --epochs 2 --data-dir {data} --output {folder}"


def test_the_number_of_workers_changes_not_one_bit(tmp_path: Path) -> None:
    words = f"train lsq {pictures(tmp_path)} --bits w2a2 --aa rand-m5 --reprob 0.3 --drop-path 0.2 --mixup 0.1"
    for workers in (0, 1, 2):
        works(f"{words} --workers {workers} --experiment {workers}")
    for workers in ("1", "2"):
        assert same_weights(tmp_path / "0", tmp_path / workers)
        assert summary(tmp_path / "0") == summary(tmp_path / workers)


def test_damaged_images_are_named_and_counted(tmp_path: Path) -> None:
    words = pictures(tmp_path)
    cut, empty, other = (tmp_path / "data" / name for name in ("train/a/3.jpg", "train/b/5.jpg", "val/b/1.jpg"))
    cut.write_bytes(cut.read_bytes()[:300])
    empty.write_bytes(b"")
    other.write_text("an apple")
    for workers in (0, 2):
        said = works(f"train fp {words} --corrupt skip --workers {workers} --experiment {workers}")
        assert "3 damaged images left out" in said
        assert [row["damaged"] for row in summary(tmp_path / f"{workers}")] == ["3", "3"]
        told = (tmp_path / f"{workers}" / "damaged.txt").read_text()
        assert all(str(path) in told for path in (cut, empty, other)) and told.count("\n") == 3
    assert same_weights(tmp_path / "0", tmp_path / "2")
    assert json.loads(works(f"evaluate --json --workers 0 {tmp_path / '0'}"))["images"] == 7


@pytest.mark.parametrize(
    "more",
    [
        "--amp",
        "--model-ema --model-ema-decay 0.9",
        "--mixup 0.8 --cutmix 1 --smoothing 0.1",
        "--grad-accum-steps 3 --batch-size 64",
        "--channels-last --model test_resnet --img-size 16",
        "--opt sgd --sched tanh --clip-grad 1 --scale-lr 1e-4",
        "--merge-qk --granularity head --gradscale by_magnitude --drop-path 0.1",
        "--checkpoint-keep 1 --checkpoint-steps 4 --log-interval 3",
        pytest.param("--torchcompile", marks=COMPILED),
        pytest.param("--amp --torchcompile --model-ema", marks=COMPILED),
    ],
)
def test_a_run_with_options_ends_with_a_model_that_evaluates_alike(more: str, tmp_path: Path) -> None:
    said = call(f"train lsq {PLAIN} --bits w3a4 {more} {SHORT}", tmp_path)
    assert said.code == 0, said.err  # which torch's compiler writes to as well
    amp = " --amp" * ("--amp" in more)
    held = json.loads(works(f"evaluate --json --workers 0 {tmp_path / 'run'}{amp}"))
    row = summary(tmp_path / "run")[-1]
    assert np.isfinite(float(row["train_loss"]))
    assert held["top1"] == pytest.approx(float(row.get("ema_top1", row["top1"])), abs=0.5)


def test_parts_of_a_step_are_no_other_step(tmp_path: Path) -> None:
    """In float: where there is rounding, what differs by a last bit may end on another level."""
    for name, more in (("whole", "--batch-size 96"), ("parts", "--batch-size 32 --grad-accum-steps 3")):
        works(f"train fp {PLAIN} {more} --epochs 1 --experiment {name} --output", tmp_path)
    whole, parts = (float(summary(tmp_path / name)[0]["train_loss"]) for name in ("whole", "parts"))
    assert parts == pytest.approx(whole, rel=1e-5)


def test_kept_checkpoints_are_those_of_their_epochs(tmp_path: Path) -> None:
    works(f"train fp {PLAIN} --epochs 4 --checkpoint-keep 2 --experiment run --output", tmp_path)
    names = {name for name in everything(tmp_path / "run") if name.endswith(".pt")}
    assert names == {"best.pt", "last.pt", "epoch-0002.pt", "epoch-0004.pt"}
    held = torch.load(tmp_path / "run" / "epoch-0002.pt", weights_only=True)
    assert held["position"] == {"epoch": 2, "batch": 0, "step": 20}


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="TensorBoard is not installed")
def test_tensorboard_gets_what_the_log_gets(tmp_path: Path) -> None:
    works(f"train fp {PLAIN} --log-interval 5 {SHORT}", tmp_path)
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))
