"""What every recipe must be: short, plain, and possible."""

from __future__ import annotations

import ast
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.layers.walk import scale_names
from stillbit.methods import RECIPES, build, described
from stillbit.methods.recipe import ModelSettings, QuantSettings, Recipe
from stillbit.train import optim
from tests.house.source import PACKAGE
from tests.methods import small

LONGEST = 80


@pytest.fixture(params=RECIPES)
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_recipe_is_called_what_its_file_and_its_function_are(method: str) -> None:
    assert RECIPES[method]().method == method and (PACKAGE / "methods" / f"{method}.py").is_file()


def test_a_recipe_is_short_and_imports_neither_arithmetic_nor_another_recipe(method: str) -> None:
    code = (PACKAGE / "methods" / f"{method}.py").read_text()
    assert len(code.splitlines()) <= LONGEST
    tree = list(ast.walk(ast.parse(code)))
    plain = {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
    others = {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in plain | others} & {"torch", "numpy"}
    assert not {f"stillbit.methods.{name}" for name in RECIPES} & others


def test_a_recipe_says_in_a_sentence_what_it_is(method: str) -> None:
    said = described()[method]
    assert said.endswith(".") and 20 < len(said) < 100
    assert described().keys() == RECIPES.keys()


def test_every_parameter_of_a_recipe_s_model_learns_and_none_is_left_without_a_gradient(
    method: str, tmp_path: Path
) -> None:
    """Several processes wait for every gradient of each other."""
    recipe = small.change(small.recipe(method, tmp_path), model={"num_classes": 10})
    model = build.bare_model(recipe)
    optimizer = optim.build(model, recipe.optim, apart=scale_names(model))
    model(torch.randn(2, 1, 16, 16)).square().sum().backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    names = [group["name"] for group in optimizer.param_groups]
    assert names == ["weights", "plain", *(["scales"] if recipe.quant else [])]


def test_a_recipe_cannot_be_changed_and_nothing_goes_by_position(method: str) -> None:
    recipe = RECIPES[method]()
    with pytest.raises(FrozenInstanceError):
        recipe.method = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Recipe("fp")  # type: ignore[misc]


def test_every_choice_of_every_group_is_explained() -> None:
    def unexplained(kind: Any) -> list[str]:
        file = PACKAGE.parent / f"{kind.__module__.replace('.', '/')}.py"
        bodies = {n.name: n.body for n in ast.parse(file.read_text()).body if isinstance(n, ast.ClassDef)}
        body = bodies[kind.__name__]
        told = {
            node.target.id
            for node, after in pairwise(body)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
            if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        }
        return [f"{kind.__name__}.{field.name}" for field in fields(kind) if field.name not in told]

    recipe = RECIPES["lsq"]()
    groups = [getattr(recipe, field.name) for field in fields(recipe)]
    missing = [name for group in groups if is_dataclass(group) for name in unexplained(type(group))]
    assert not missing, f"nobody would know from --help what these do: {missing}"


def test_a_run_is_called_by_what_makes_it() -> None:
    recipe = Recipe(method="fp", model=ModelSettings(model="hf-hub:timm/deit_tiny"))
    assert recipe.name == "fp-hf-hub_timm_deit_tiny-seed42"
    assert replace(recipe, quant=QuantSettings(bits="w2a2")).name == "fp-hf-hub_timm_deit_tiny-w2a2-seed42"


@pytest.mark.parametrize("images", [0, -1])
def test_calibration_without_images_is_refused(images: int) -> None:
    with pytest.raises(ValueError, match=f"--calibration-images is at least 1, got {images}"):
        QuantSettings(calibration_images=images)
