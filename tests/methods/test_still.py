from pathlib import Path

import pytest

from stillbit.layers.walk import quantizers
from stillbit.methods import build
from stillbit.methods.still import still
from stillbit.methods.vvtq import vvtq
from stillbit.quantizers.lsq import LSQPlus
from stillbit.quantizers.statsq import BITS_REACH, StatsQ
from tests.methods import small


def test_it_is_taught_and_calmed_as_vvtq_is_and_nobody_is_asked_while_it_trains() -> None:
    ours, theirs = still(), vvtq()
    assert (ours.distill, ours.dynamics, ours.schedule) == (theirs.distill, theirs.dynamics, theirs.schedule)
    assert ours.distill.taught and ours.distill.teacher is None


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_weights_have_the_range_of_their_width_and_every_input_an_offset(bits: int, tmp_path: Path) -> None:
    model = build.bare_model(
        small.recipe("still", tmp_path, model={"num_classes": 10}, quant={"bits": f"w{bits}a{bits}"})
    )
    inner = [(role, quantizer) for name, role, quantizer in quantizers(model) if name.startswith("blocks.")]
    weights = [quantizer for role, quantizer in inner if role == "weight"]
    assert all(isinstance(one, StatsQ) and one.reach == BITS_REACH[bits - 1] for one in weights)
    assert all(isinstance(one, LSQPlus) for role, one in inner if role != "weight")
    assert {one.grid.bits for _, one in inner} == {bits} and len(weights) < len(inner)
