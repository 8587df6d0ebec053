from dataclasses import replace
from pathlib import Path

from stillbit.layers.rectify import Rectify
from stillbit.methods import build
from tests.methods import small
from tests.methods.conftest import Ran
from tests.methods.test_steer import lines


def test_query_and_key_are_rectified(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("qvit", tmp_path, model={"num_classes": 10}))
    attention = model.blocks[0].attn
    assert isinstance(attention.query_rectify, Rectify) and isinstance(attention.key_rectify, Rectify)


def test_heads_learn_to_relate_as_those_of_the_float_model(tmp_path: Path, float_run: Ran) -> None:
    recipe = small.recipe("qvit", tmp_path, schedule={"epochs": 4})
    start = replace(recipe.model, initial_checkpoint=float_run.folder)
    result, _ = small.run(replace(recipe, model=start))
    losses = [row["train_relations"] for row in lines(result.folder, "epoch")]
    assert 0 < losses[-1] < losses[0]
