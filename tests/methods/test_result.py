"""What a run leaves computes what its checkpoint computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import stillbit
from stillbit.methods import build
from stillbit.methods.recipe_file import read
from stillbit.methods.result import publish, trained
from stillbit.train import checkpoint, weights
from tests.methods import small
from tests.methods.conftest import Ran

IMAGES = torch.randn(8, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def outputs(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IMAGES)


def test_the_file_of_a_quantized_run_computes_what_its_best_checkpoint_does(low_bit_run: Ran) -> None:
    loaded = stillbit.load(low_bit_run.folder / "model.safetensors")
    model = trained(read(low_bit_run.folder), low_bit_run.folder / "best.pt")
    assert not loaded.training and torch.equal(outputs(loaded), outputs(model))
    assert stillbit.summary(loaded) == stillbit.summary(model)


def test_the_file_of_a_float_run_computes_what_its_best_checkpoint_does(float_run: Ran) -> None:
    recipe = read(float_run.folder)
    fresh = build.float_model(recipe).eval()
    weights.load(fresh, float_run.folder)
    assert torch.equal(outputs(fresh), outputs(trained(recipe, float_run.folder / "best.pt")))


def test_a_run_with_an_average_is_its_average(low_bit_run: Ran) -> None:
    held = checkpoint.read(low_bit_run.folder / "last.pt")
    model = trained(read(low_bit_run.folder), low_bit_run.folder / "last.pt")
    assert all(torch.equal(v, held["ema"][k]) for k, v in model.state_dict().items())
    assert any(not torch.equal(v, held["model"][k]) for k, v in model.state_dict().items())


def test_a_run_without_a_best_checkpoint_publishes_its_last(float_run: Ran, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes((float_run.folder / "last.pt").read_bytes())
    assert publish(read(float_run.folder), tmp_path, {"top1": 1.0}, 2.0) == tmp_path / "model.safetensors"
    assert json.loads((tmp_path / "result.json").read_text())["top1"] == 1.0


def test_a_checkpoint_that_does_not_fit_its_recipe_gets_one_sentence(float_run: Ran) -> None:
    recipe = small.change(read(float_run.folder), model={"num_classes": 7})
    with pytest.raises(ValueError, match=r"best.pt holds another model than its recipe says") as caught:
        trained(recipe, float_run.folder / "best.pt")
    assert "\n" not in str(caught.value)
