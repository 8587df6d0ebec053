"""What a run would cost, without its data and without a trace."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import Tensor

from stillbit.distill.layout import Layout
from stillbit.dynamics.dampen import Dampening
from stillbit.dynamics.settings import AnnealSettings
from stillbit.methods.dry_run import dry_run
from stillbit.methods.recipe import Recipe
from stillbit.models import names
from tests.distill import stores
from tests.methods import small


def told(recipe: Recipe) -> dict[str, str]:
    table = dry_run(recipe)
    names, values = (list(column.cells) for column in table.columns)
    Console(file=io.StringIO()).print(table)
    return dict(zip(map(str, names), map(str, values), strict=True))


@pytest.mark.parametrize("method", ["fp", "lsq"])
def test_without_data_a_run_is_counted_as_if_it_were_imagenet(method: str, tmp_path: Path) -> None:
    recipe = small.recipe(
        method,
        tmp_path,
        data={"dataset": "folder", "batch_size": 16},
        model={"num_classes": 20},
        output={"checkpoint_keep": 1},
    )
    found = told(recipe)
    assert "1,281,167 + 50,000 images, 20 classes, seen as 16 x 16" in found["data"]
    assert found["steps"] == "160,144: 2 epochs of 80,072, 16 images each" and found["device"] == "1 x cpu"
    assert "images/s" in found["a step"] and "evaluation" in found["time"] and "4 checkpoints" in found["disk"]
    assert list(found) == ["run", "data", "phases", "device", "parameters", "steps", "a step", "time", "disk", "memory"]
    assert found["phases"] == "train 2 epochs"
    assert not list(tmp_path.iterdir())


def test_with_data_the_data_is_counted(tmp_path: Path) -> None:
    found = told(small.recipe("fp", tmp_path, machine={"grad_accum_steps": 2}))
    assert found["data"].startswith("digits: 1,347 + 450 images, 10 classes")
    assert found["steps"] == "4: 2 epochs of 2, 512 images each"
    assert not list(tmp_path.iterdir())


def test_what_is_on_at_the_end_of_the_training_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def counted(self: Dampening) -> Tensor:
        seen.append(1)
        return once(self)

    once = Dampening.__call__
    monkeypatch.setattr(Dampening, "__call__", counted)
    found = told(small.recipe("dampen", tmp_path, schedule={"epochs": 9}))
    assert len(seen) == 2 and found["phases"] == "train 9 epochs"


def test_a_single_step_an_epoch_is_enough_to_measure(tmp_path: Path) -> None:
    assert told(small.recipe("fp", tmp_path, data={"batch_size": 700}))["steps"].startswith("2: 2 epochs of 1")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"data": {"batch_size": 5000}}, "a batch of 5000 is larger than the data"),
        ({"model": {"model": "none"}}, "there is no model named 'none'"),
    ],
)
def test_a_mistake_is_found_dry_too(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        dry_run(small.recipe("fp", tmp_path, **settings))


def test_stored_labels_are_enough_to_count_with(tmp_path: Path) -> None:
    layout = Layout(kind="marginal_smoothing", top_k=5, classes=20)
    store = stores.small(tmp_path / "store", layout, count=50)
    recipe = small.recipe("fp", tmp_path, data={"dataset": "folder", "batch_size": 8}, distill={"labels": store})
    found = told(small.change(recipe, augment={"scale": (0.08, 1.0), "hflip": 0.5}))
    assert found["data"].startswith("as many as the store has, and to be judged by as many as ImageNet-1k has: 50 +")
    assert "20 classes" in found["data"] and found["steps"] == "12: 2 epochs of 6, 8 images each"
    assert found["teaching"].startswith("labels of 4 views an image by vit_pico_patch4_32, in ")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_labels_of_other_images_are_found_out_dry_too(tmp_path: Path) -> None:
    store = stores.small(tmp_path / "store", count=50)
    with pytest.raises(ValueError, match="has labels for row, and this is digits"):
        dry_run(small.recipe("fp", tmp_path, distill={"labels": store, "crops": 1}))


def test_start_weights_are_not_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    create = names.create
    monkeypatch.setattr(names, "create", lambda name, **said: asked.append(said["pretrained"]) or create(name, **said))
    told(small.recipe("ofq", tmp_path, model={"pretrained": True}, dynamics={"anneal": AnnealSettings()}))
    assert asked and not any(asked)


def test_a_teacher_is_part_of_the_cost_and_its_weights_are_not_fetched(tmp_path: Path) -> None:
    model = {"model": "vit_pico_patch4_32", "img_size": 32, "in_chans": 3, "num_classes": 1000}
    recipe = small.recipe(
        "fp",
        tmp_path,
        model=model,
        data={"dataset": "folder", "batch_size": 2},
        distill={"teacher": "vit_pico_patch4_32"},
    )
    found = told(recipe)
    assert found["teaching"] == "taught by vit_pico_patch4_32" and "images/s" in found["a step"]
