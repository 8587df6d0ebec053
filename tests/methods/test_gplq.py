import json
from dataclasses import replace
from pathlib import Path

import torch

from stillbit.layers.walk import weights
from stillbit.methods import build
from stillbit.methods.judge import judge
from stillbit.methods.target import open_target
from stillbit.surgery.file import load
from tests.methods import small
from tests.methods.conftest import Ran


def test_weights_are_float_while_activations_are_trained(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("gplq", tmp_path, model={"num_classes": 10}))
    layer = model.blocks[0].mlp.fc1
    assert layer.weight_quantizer is None and layer.input_quantizer.grid.bits == 2
    assert {weight.bits for weight in weights(model)} == {8}, "but for the first and the last layer"


def test_the_model_that_is_left_has_quantized_weights_and_is_the_one_that_is_judged(
    tmp_path: Path, float_run: Ran
) -> None:
    recipe = small.recipe("gplq", tmp_path)
    result, _ = small.run(replace(recipe, model=replace(recipe.model, initial_checkpoint=float_run.folder)))
    assert result.model is not None
    model = load(result.model).eval()
    assert {weight.bits for weight in weights(model)} == {2, 8}
    said = json.loads((result.folder / "result.json").read_text())
    assert said["top1"] == result.best["top1"] and "top1_with_float_weights" in said
    target = open_target(str(result.folder))
    assert judge(target).scores["top1"] == said["top1"]
    images = torch.randn(4, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(model(images), target.model(images))
