"""A recipe goes to a file and comes back the same; a file that is none gets one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stillbit.data.settings import AugmentSettings, DataSettings
from stillbit.distill.settings import DistillSettings
from stillbit.methods import RECIPES
from stillbit.methods.recipe import ModelSettings, QuantSettings, Recipe
from stillbit.methods.recipe_file import PASSING, differences, from_dict, read, to_dict
from stillbit.train.settings import OptimSettings, OutputSettings
from tests.methods import small

FULL = Recipe(
    method="lsq",
    model=ModelSettings(initial_checkpoint=Path("a/b.pth"), num_classes=7, img_size=64, pretrained=True),
    quant=QuantSettings(granularity="head", gradscale="by_magnitude", reach=None, merge_qk=True),
    data=DataSettings(data_dir=Path("images"), corrupt="skip"),
    augment=AugmentSettings(scale=(0.5, 1), interpolation="bilinear", crop_pct=0.9),
    distill=DistillSettings(labels=Path("store"), crops=8),
    taught_by="0123",
    optim=OptimSettings(lr=1, opt_betas=(0.9, 0.95), scale_lr=1e-5, clip_grad=1.0),
    output=OutputSettings(output=Path("runs"), experiment="a", resume="auto", checkpoint_keep=5),
)


@pytest.mark.parametrize("recipe", [*(make() for make in RECIPES.values()), FULL], ids=[*RECIPES, "full"])
def test_a_recipe_comes_back_from_its_file_exactly(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(json.dumps(to_dict(recipe)))
    for path in (tmp_path, tmp_path / "recipe.json"):
        found = read(path)
        assert found == recipe and type(found.optim.lr) is float and not differences(to_dict(found), to_dict(recipe))
        assert isinstance(found.output.output, Path)


def test_what_is_left_out_has_its_default() -> None:
    assert from_dict({"method": "fp"}) == Recipe(method="fp")
    assert from_dict({"method": "x", "quant": {}}) == Recipe(method="x", quant=QuantSettings())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"optim": {"learning": 1}}, "a recipe has no optim.learning"),
        ({"optim": {"weight_decai": 1}}, "a recipe has no optim.weight_decai: did you mean optim.weight_decay?"),
        ({"modle": {}}, "a recipe has no modle: did you mean model?"),
        ({"optim": {"lr": "fast"}}, "optim.lr cannot be 'fast'"),
        ({"optim": {"lr": True}}, "optim.lr cannot be True"),
        ({"optim": {"lr": None}}, "optim.lr cannot be None"),
        ({"optim": {"opt_betas": [0.9]}}, "optim.opt_betas cannot be [0.9]"),
        ({"optim": {"opt_betas": [0.9, "x"]}}, "optim.opt_betas cannot be 'x'"),
        ({"schedule": {"epochs": 1.5}}, "schedule.epochs cannot be 1.5"),
        ({"schedule": {"sched": "cosinus"}}, "schedule.sched cannot be 'cosinus'"),
        ({"schedule": {"sched": ["cosine"]}}, "schedule.sched cannot be ['cosine']"),
        ({"machine": {"amp": 1}}, "machine.amp cannot be 1"),
        ({"data": {"data_dir": 3}}, "data.data_dir cannot be 3"),
        ({"model": 3}, "model cannot be 3"),
        ({"model": None}, "model cannot be None"),
        ({"optim": {"lr": -1.0}}, "--lr is at least 0, got -1.0"),
        ({"quant": {"calibration_images": 0}}, "--calibration-images is at least 1"),
        ({"method": 3}, "method cannot be 3"),
    ],
)
def test_a_choice_that_cannot_be_gets_one_sentence_with_its_file(
    data: dict[str, Any], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"method": "fp", **data}))
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "\x00\x01", '"fp"', "{}"])
def test_a_file_that_is_no_recipe_gets_one_sentence(text: str, tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(ValueError) as caught:
        read(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_not_there_gets_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(ValueError, match=r"there is no recipe .*: give a run's recipe.json"):
            read(path)
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="is no recipe"):
        read(tmp_path / "bytes.json")


def test_differences_are_told_by_their_flags_and_with_both_values() -> None:
    one = small.recipe("lsq", Path())
    other = small.change(one, optim={"lr": 0.5}, quant={"bits": "w3a3"}, model={"drop_path": 0.0})
    assert sorted(differences(to_dict(one), to_dict(other))) == [
        "--bits w2a2 there and w3a3 here",
        "--drop-path 0.1 there and 0.0 here",
        "--lr 0.003 there and 0.5 here",
    ]
    assert differences(to_dict(one), to_dict(replace(one, quant=None))), "float is a difference too"


def test_where_and_how_fast_may_differ() -> None:
    one = small.recipe("lsq", Path())
    other = small.change(
        one,
        output={"output": Path("x"), "experiment": "y", "resume": "auto", "log_interval": 7, "checkpoint_steps": 3},
        machine={"device": "cpu", "torchcompile": True, "fsdp": True, "grad_accum_steps": 2},
        data={"data_dir": Path("z"), "workers": 5, "batch_size": 32},
        model={"initial_checkpoint": Path("a"), "pretrained": True},
        distill={"labels": Path("store")},
    )
    assert differences(to_dict(one), to_dict(other)) == []


def test_every_choice_that_may_differ_exists() -> None:
    held = to_dict(FULL)
    flat = {f"{group}.{name}" for group, inside in held.items() if isinstance(inside, dict) for name in inside}
    assert flat | held.keys() >= PASSING
