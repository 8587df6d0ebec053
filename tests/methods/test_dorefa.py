from pathlib import Path

from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.quantizers.dorefa import DoReFaActivation, DoReFaWeight
from tests.methods import small


def test_both_kinds_of_tensors_have_fixed_ranges(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("dorefa", tmp_path, model={"num_classes": 10}))
    inner = [found for found in quantizers(model) if found[0] == "blocks.1.mlp.fc1"]
    assert {role: type(quantizer) for _, role, quantizer in inner} == {
        "weight": DoReFaWeight,
        "input": DoReFaActivation,
    }
    assert {quantizer.grid.bits for *_, quantizer in inner} == {2}
