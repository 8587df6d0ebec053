from pathlib import Path

from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.quantizers.lsq import LSQ
from stillbit.quantizers.statsq import StatsQ
from tests.methods import small


def test_weight_scales_follow_the_weights_and_activation_scales_are_learned(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("statsq", tmp_path, model={"num_classes": 10}))
    inner = [found for found in quantizers(model) if found[0] == "blocks.1.mlp.fc1"]
    assert {role: type(quantizer) for _, role, quantizer in inner} == {"weight": StatsQ, "input": LSQ}
    assert {quantizer.grid.bits for *_, quantizer in inner} == {2}
