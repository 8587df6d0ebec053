from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.dynamics.settings import DynamicsSettings
from stillbit.layers.merged_attention import MergedAttention
from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.methods.ofq import ofq
from stillbit.quantizers.moved import Moved
from stillbit.quantizers.statsq import StatsQ
from tests.methods import small


def test_its_quantizers_are_those_of_the_paper(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("ofq", tmp_path, model={"num_classes": 10}))
    attention = model.blocks[0].attn
    assert isinstance(attention, MergedAttention)
    assert isinstance(model.blocks[0].mlp.fc1.weight_quantizer, StatsQ)
    tokens = model.pos_embed.shape[1]
    for quantizer in (attention.query_quantizer, model.blocks[0].mlp.fc1.input_quantizer):
        assert isinstance(quantizer, Moved) and quantizer.blocks[-2:] == (tokens, 1)
    assert attention.value_quantizer.blocks[1] == 1, "values have a scale a channel"
    assert not isinstance(attention.probability_quantizer, Moved)
    ends = [q for name, role, q in quantizers(model) if name == "head"]
    assert {q.grid.bits for q in ends} == {8}


def test_the_float_model_teaches_and_has_to_be_given(tmp_path: Path) -> None:
    recipe = replace(small.recipe("ofq", tmp_path), dynamics=DynamicsSettings())
    with pytest.raises(ValueError, match=r"--teacher self is the float model with its start weights: give them"):
        small.run(recipe)


def test_the_last_thirty_epochs_are_the_annealing_at_the_lowest_rate() -> None:
    recipe = ofq()
    assert (recipe.schedule.epochs, recipe.dynamics.anneal.anneal_epochs) == (330, 30)
    assert recipe.schedule.min_lr == 1e-5
