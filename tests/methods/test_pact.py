from pathlib import Path

from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.quantizers.dorefa import DoReFaWeight
from stillbit.quantizers.pact import PACT
from tests.methods import small


def test_activations_learn_their_clip_level_and_weights_are_dorefas(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("pact", tmp_path, model={"num_classes": 10}))
    inner = [found for found in quantizers(model) if found[0] == "blocks.1.mlp.fc1"]
    assert {role: type(quantizer) for _, role, quantizer in inner} == {"weight": DoReFaWeight, "input": PACT}
    assert {quantizer.grid.bits for *_, quantizer in inner} == {2}
