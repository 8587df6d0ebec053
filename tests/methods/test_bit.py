"""BiT: one bit for words, weights and activations, and shifts that move something."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from stillbit.distill.settings import BEFORE
from stillbit.layers.embedding import QuantEmbedding
from stillbit.layers.walk import quantizers, weights
from stillbit.methods import build
from stillbit.methods.bit import bit
from stillbit.methods.chain import words
from stillbit.methods.perform import start
from stillbit.methods.recipe import QuantSettings
from stillbit.quantizers.binary import Elastic, Sign
from stillbit.surgery.calibrate import calibrate
from stillbit.surgery.swap import quantize
from stillbit.train.distributed import Share
from tests.distill.test_relate import vit
from tests.methods import readers, small
from tests.surgery import tiny_hf

ALONE = Share(0, 1, torch.device("cpu"))


def binary(**options: Any) -> Any:
    """A BERT of one layer by the recipe's words, with start values."""
    torch.manual_seed(0)
    settings = bit().quant
    assert settings is not None
    model = tiny_hf.bert(hidden_act="relu", initializer_range=0.5)  # attention that looks at some words more
    model = quantize(model, build.plan_of(replace(settings, **options)))
    calibrate(model, [tiny_hf.sentences()])
    return model.eval()


def test_it_learns_no_label_but_answers_and_states_of_the_width_before() -> None:
    recipe = bit()
    assert (recipe.distill.teacher, recipe.distill.teacher_share, recipe.distill.hidden) == (BEFORE, 1.0, 1.0)
    assert words(recipe) == "w32a32, then w1a2, then w1a1" and recipe.model.relu
    assert (recipe.optim.weight_decay, recipe.optim.scale_lr, recipe.schedule.sched) == (0.01, 1e-4, "linear")


def test_everything_between_the_ends_has_one_bit_and_words_have_a_row_each() -> None:
    model = binary()
    table = model.bert.embeddings.word_embeddings
    assert isinstance(table, QuantEmbedding) and table.weight_quantizer.blocks == (tiny_hf.WORDS, 1)
    ends = ("position_embeddings", "token_type_embeddings", "classifier")
    for name, role, quantizer in quantizers(model):
        if name.endswith(ends):
            assert quantizer.grid.bits == 8, name
        elif role == "weight":
            assert isinstance(quantizer, Sign) and quantizer.ste == "identity", name
            assert quantizer.blocks == ((tiny_hf.WORDS, 1) if "word" in name else (1, 1)), name
        else:
            assert isinstance(quantizer, Elastic), (name, role)
            assert quantizer.grid.signed is not (
                role == "probability" or (name.endswith("output.dense") and "attention" not in name)
            )


def test_every_value_between_the_ends_is_one_of_two() -> None:
    for weight in weights(binary()):
        if weight.quantizer.grid.bits == 1:
            value = weight.quantizer(weight.parameter).value()
            rows = value if value.size(0) == weight.quantizer.blocks[0] else value.reshape(1, -1)
            assert all(row.abs().unique().numel() == 1 for row in rows)


@pytest.mark.parametrize("role", ["query", "key", "value"])
def test_the_shift_of_a_query_key_or_value_learns_and_moves_what_comes_out(role: str) -> None:
    """In BiT's released code these shifts are computed and then left behind: neither holds there."""
    model = binary()
    attention = model.bert.encoder.layer[0].attention.self
    shift = getattr(attention, f"{role}_quantizer").threshold
    held = tiny_hf.sentences()
    model(**held).logits.square().sum().backward()
    assert shift.grad is not None and shift.grad.abs().item() > 0
    with torch.no_grad():
        before = model(**held).logits
        shift.add_(0.3 * getattr(attention, f"{role}_quantizer").scale)
        assert (model(**held).logits - before).abs().max() > 1e-4


def test_the_way_through_a_sign_can_be_clipped() -> None:
    assert {w.quantizer.ste for w in weights(binary(ste="clipped")) if isinstance(w.quantizer, Sign)} == {"clipped"}


@pytest.mark.parametrize(("bits", "quantizer"), [(1, "Sign"), (4, "LSQ"), (8, "LSQ"), (32, None)])
def test_words_may_have_bits_of_their_own(bits: int, quantizer: str | None) -> None:
    table = binary(embedding_bits=bits).bert.embeddings.word_embeddings
    found = getattr(table, "weight_quantizer", None)
    assert (found and type(found).__name__) == quantizer and (found is None or found.grid.bits == bits)


@pytest.mark.parametrize(
    "words",
    [
        {"granularity": "head", "weight": "lsq", "gradscale": "by_magnitude"},
        {"granularity": "head"},
        {"granularity": "channel"},
        {"activation_granularity": "head"},
        {"moves": True},
        {"weight": "lsq", "activation": "lsq"},
        {"weight": "statsq", "embedding_bits": 1},
    ],
    ids=str,
)
def test_other_words_make_sense_at_one_bit_too(words: dict[str, Any]) -> None:
    reader, held = binary(**words), tiny_hf.sentences()
    reader(**held).logits.square().sum().backward()
    settings = bit().quant
    assert settings is not None
    seer = quantize(vit(), build.plan_of(replace(settings, **words | {"embedding_bits": None})))
    images = torch.randn(2, 3, 16, 16)
    calibrate(seer, [images])
    seer(images).square().sum().backward()
    for model in (reader, seer):
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(grad.isfinite().all() for grad in grads)
        assert all(w.parameter.grad.abs().sum() > 0 for w in weights(model) if w.quantizer.grid.bits == 1)


def test_it_begins_where_a_person_says_so_in_python_too(tmp_path: Path) -> None:
    recipe = small.change(small.recipe("bit", tmp_path), quant={"embedding_bits": 1})
    data = build.open_data(recipe)
    with pytest.raises(
        ValueError, match="--embedding-bits is for the word embeddings of texts, and vit_pico_patch4_32"
    ):
        start(build.resolved(recipe, data), data, ALONE, fresh=True)


def test_a_way_through_a_sign_is_for_signs() -> None:
    settings = QuantSettings(bits="w1a1", ste="clipped")
    with pytest.raises(ValueError, match="the quantizer 'lsq' has no option 'ste'"):
        quantize(tiny_hf.bert(), build.plan_of(settings))


def test_it_goes_through_its_widths_by_itself(tmp_path: Path) -> None:
    made = small.change(readers.recipe("bit", tmp_path), quant={"through": ("w32a32", "w1a2")})
    result, said = small.run(made)
    assert "3 of 3: w1a1" in said and "hidden" in said and result.model is not None
