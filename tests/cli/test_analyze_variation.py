"""``stillbit analyze variation``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.analysis.record import read
from stillbit.analysis.variation import Variation
from tests.cli.command import PLAIN, everything, mistake, works

PICO = "vit_pico_patch4_32"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float run of one epoch."""
    folder = tmp_path_factory.mktemp("runs")
    works(f"train fp {PLAIN} --batch-size 64 --epochs 1 --experiment run --output", folder)
    return folder / "run"


def record(words: str, *more: object) -> dict[str, Any]:
    held: dict[str, Any] = json.loads(works(f"analyze variation --json {words}", *more))["record"]
    return held


def test_a_run_is_measured_with_its_own_images(folder: Path) -> None:
    said = works("analyze variation", folder)
    held = read(Variation, folder / "analysis" / "variation.json")
    assert held.images == 32 and held.flows and held.subject == "run" and not held.no_activations
    assert "Variation (SDAM)" in said and "Loudest channels" in said and "Activations, tensor by tensor" in said


def test_so_many_images_are_looked_at_as_were_asked_for(folder: Path, tmp_path: Path) -> None:
    works("analyze variation --images 20 --batch-size 7 --output", tmp_path / "v.json", folder)
    assert read(Variation, tmp_path / "v.json").images == 20


def test_no_images_mean_weights_alone(folder: Path, tmp_path: Path) -> None:
    said = works("analyze variation --images 0 --output", tmp_path / "v.json", folder)
    assert not read(Variation, tmp_path / "v.json").flows
    assert "Activations were not measured: they were not asked for." in said


def test_a_model_by_name_without_data_has_weights_alone_and_says_so() -> None:
    held = record(PICO)
    assert not held["flows"] and held["images"] == 0 and "--data-dir" in held["no_activations"]
    assert held["about"] == "random weights"


def test_a_model_by_name_can_be_given_data() -> None:
    held = record(f"{PICO} --dataset digits --images 10")
    assert held["images"] == 10 and held["flows"]


def test_models_stand_side_by_side() -> None:
    held = record(f"{PICO} --images 0 --against vit_nano_patch4_32 resnet10t")
    assert [one["model"] for one in held["against"]] == [PICO, "vit_nano_patch4_32", "resnet10t"]
    assert "SDAM of the weights of several models" in works(
        f"analyze variation {PICO} --images 0 --against vit_nano_patch4_32"
    )


def test_nothing_but_the_record_is_written(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = everything(folder)
    works("analyze variation --images 0 --output", tmp_path / "v.json", folder)
    assert everything(folder) == before


def test_who_asks_for_images_is_told_that_there_are_none() -> None:
    assert "--data-dir FOLDER" in mistake(f"analyze variation {PICO} --images 8")
    assert "nowhere" in mistake(f"analyze variation {PICO} --data-dir nowhere")


def test_images_are_a_number() -> None:
    assert "there are no -3 images to look at" in mistake(f"analyze variation {PICO} --images -3")
    said = mistake(f"analyze variation {PICO} --images 0 --dataset digits")
    assert "without images there is no use for data" in said


def test_a_misspelt_model_of_the_comparison_is_named() -> None:
    assert "resnet18" in mistake(f"analyze variation {PICO} --images 0 --against resnet18x")


def test_broken_weights_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "recipe.json").write_text((folder / "recipe.json").read_text())
    held = torch.load(folder / "best.pt", weights_only=True)
    held["model"]["blocks.2.attn.qkv.weight"][0, 0] = float("nan")
    torch.save(held, broken / "best.pt")
    assert "blocks.2.attn.qkv.weight" in mistake("analyze variation", broken)


def test_a_record_with_activations_is_not_lost_when_the_images_are(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "run"
    shutil.copytree(folder, moved)
    works("analyze variation", moved)
    recipe = json.loads((moved / "recipe.json").read_text())
    recipe["data"].update(dataset="folder", data_dir="nowhere")
    (moved / "recipe.json").write_text(json.dumps(recipe))
    assert "may hold activations, and the images are not to be had now" in mistake("analyze variation", moved)
    assert read(Variation, moved / "analysis" / "variation.json").flows
    works("analyze variation --images 0", moved)
    assert not read(Variation, moved / "analysis" / "variation.json").flows
