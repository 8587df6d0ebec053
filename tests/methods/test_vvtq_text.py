"""VVTQ on texts: each pillar where it has a meaning, and one bit first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.cli.train import asked
from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import PenaltySettings
from stillbit.layers.walk import quantizers, weights
from stillbit.methods import build
from stillbit.methods.recipe import Recipe
from stillbit.methods.vvtq_text import vvtq_text
from stillbit.quantizers.binary import Elastic
from stillbit.quantizers.lsq import LSQ
from tests.methods import readers, small

HEADS = 2


def model_of(recipe: Recipe) -> Any:
    return build.bare_model(build.resolved(recipe, build.open_data(recipe)))


def said(line: str) -> Recipe:
    """What a command line stands for."""
    return asked(f"vvtq_text --task entailment --model bert_pico {line}".split()).recipe


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_of(readers.recipe("vvtq_text", tmp_path_factory.mktemp("model")))


def test_each_head_of_query_key_value_and_projection_has_a_scale_of_its_own(model: Any) -> None:
    blocks = {name: quantizer.blocks for name, role, quantizer in quantizers(model) if role == "weight"}
    layer = "bert.encoder.layer.1.attention"
    for part in ("query", "key", "value"):
        assert blocks[f"{layer}.self.{part}"] == (HEADS, 1)
    assert blocks[f"{layer}.output.dense"] == (1, HEADS)
    assert blocks["bert.encoder.layer.1.intermediate.dense"] == (256, 1), "the rest has one an output"


def test_scales_of_weights_are_learned_with_the_gradient_of_vvtq_and_words_have_one_a_row(model: Any) -> None:
    found = {weight.name: weight for weight in weights(model)}
    low = {name: weight for name, weight in found.items() if weight.bits == 1}
    assert all(isinstance(w.quantizer, LSQ) and w.quantizer.gradscale == "by_magnitude" for w in low.values())
    words = found["bert.embeddings.word_embeddings"]
    assert words.bits == 1 and words.quantizer.blocks == (len(words.parameter), 1)
    eight = {name for name, weight in found.items() if weight.bits == 8}
    assert eight == {"classifier", "bert.embeddings.position_embeddings", "bert.embeddings.token_type_embeddings"}


def test_activations_of_one_bit_are_elastic_and_those_behind_relu_are_zero_or_one(model: Any) -> None:
    acts = {name: q for name, role, q in quantizers(model) if role != "weight" and q.grid.bits == 1}
    assert acts and all(isinstance(quantizer, Elastic) for quantizer in acts.values())
    assert not acts["bert.encoder.layer.0.output.dense"].grid.signed
    assert acts["bert.encoder.layer.0.intermediate.dense"].grid.signed


@pytest.mark.parametrize("bits", ["w1a1", "w1a2", "w2a1", "w2a2", "w4a4", "w8a8", "w1a32"])
def test_a_width_on_the_command_line_brings_the_words_that_mean_something_there(bits: str) -> None:
    recipe = said(f"--bits {bits}")
    quant, weight, activation = recipe.quant, int(bits[1]), int(bits.split("a")[1])
    assert quant is not None and quant.bits == bits and quant.embedding_bits == weight
    assert quant.activation == ("elastic" if activation == 1 else "lsq")
    assert recipe.model.relu == (activation == 1)
    penalty = recipe.dynamics.penalty
    assert penalty == (PenaltySettings(bin_reg=0.1, bin_reg_bits=(2, 3, 4)) if weight in (2, 4) else PenaltySettings())
    model = model_of(small.change(recipe, text={"examples": 40, "val_examples": 9}))
    assert {w.bits for w in weights(model)} == {weight, 8}


def test_a_penalty_that_a_person_asks_for_is_refused_where_there_are_no_bins(tmp_path: Path) -> None:
    recipe = said("--bin-reg 0.1 --no-taught --examples 40 --val-examples 9")
    recipe = small.change(recipe, output={"output": tmp_path, "experiment": "run"})
    with pytest.raises(ValueError, match=r"--bin-reg is for weights of 2 or 3 bits, and this model has 1 and 8"):
        small.run(recipe)


def test_every_pillar_is_turned_off_by_one_word() -> None:
    for line in (
        "--granularity channel",
        "--gradscale by_count",
        "--no-taught",
        "--bits w2a2 --bin-reg 0",
        "--activation lsq",
        "--no-relu",
        "--embedding-bits 8",
        "--weight sign --gradscale None",
    ):
        recipe = said(line)
        assert recipe.method == "vvtq_text", line
    assert said("--bits w2a2 --bin-reg 0").dynamics.penalty == PenaltySettings()


def test_it_does_not_begin_without_a_teacher_unless_told_so(tmp_path: Path) -> None:
    recipe = readers.recipe("vvtq_text", tmp_path)
    with pytest.raises(ValueError, match=r"vvtq_text learns from a teacher: give stored labels, --labels STORE"):
        small.run(recipe)
    result, _ = small.run(replace(recipe, distill=DistillSettings()))
    assert result.model is not None


def test_a_step_reaches_every_scale_and_every_weight(model: Any) -> None:
    model.train()
    ids = torch.randint(5, 100, (4, 9), generator=torch.Generator().manual_seed(0))
    model(ids, torch.ones_like(ids), torch.zeros_like(ids)).logits.square().sum().backward()
    silent = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert not silent
    assert model.bert.encoder.layer[0].attention.self.query.weight_quantizer.scale.grad.abs().min() > 0
    assert vvtq_text().quant is not None
