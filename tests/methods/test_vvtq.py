from dataclasses import replace
from pathlib import Path

import pytest

from stillbit.distill.settings import DistillSettings
from stillbit.layers.walk import quantizers, weights
from stillbit.methods import build
from stillbit.methods.vvtq import vvtq
from stillbit.quantizers.lsq import LSQ
from tests.methods import small


def test_every_head_of_query_key_value_and_projection_has_a_scale_of_its_own(tmp_path: Path) -> None:
    model = build.bare_model(small.recipe("vvtq", tmp_path, model={"num_classes": 10}))
    heads = model.blocks[0].attn.num_heads
    blocks = {name: quantizer.blocks for name, role, quantizer in quantizers(model) if role == "weight"}
    assert blocks["blocks.0.attn.qkv"] == (3 * heads, 1)
    assert blocks["blocks.0.attn.proj"] == (1, heads)
    for weight in weights(model):
        assert isinstance(weight.quantizer, LSQ) and weight.quantizer.gradscale == "by_magnitude"


def test_it_does_not_begin_without_a_teacher_unless_told_so(tmp_path: Path) -> None:
    recipe = small.recipe("vvtq", tmp_path)
    with pytest.raises(ValueError, match=r"vvtq learns from a teacher: give stored labels, --labels STORE"):
        small.run(recipe)
    assert not (tmp_path / "run").exists()
    result, _ = small.run(replace(recipe, distill=DistillSettings()))
    assert result.model is not None


def test_the_bin_penalty_is_on_at_the_widths_of_the_papers_tables() -> None:
    penalty = vvtq().dynamics.penalty
    assert penalty.bin_reg == 0.1 and penalty.bin_reg_bits == (2, 3, 4)
