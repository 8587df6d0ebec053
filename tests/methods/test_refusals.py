"""Words that make no sense together are refused with a sentence, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from timm.models.vision_transformer import VisionTransformer

from stillbit.distill.settings import DistillSettings
from stillbit.dynamics.settings import AnnealSettings, TrackSettings
from stillbit.methods import build
from stillbit.methods.recipe import QuantSettings, Recipe
from tests.methods import small
from tests.methods.conftest import Ran

LEARNED = {"weight": "learned_bits", "activation": "learned_bits", "granularity": "head"}


def refused(recipe: Recipe, said: str) -> None:
    """One sentence that holds these words, and no folder."""
    with pytest.raises(ValueError) as caught:
        small.run(recipe)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not list(recipe.output.output.iterdir())


def meant(settings: type, said: str, **words: Any) -> None:
    """The same, of words that contradict each other whatever the model is."""
    with pytest.raises(ValueError) as caught:
        settings(**words)
    assert said in str(caught.value) and "\n" not in str(caught.value)


# ----------------------------------------------------------------------------------------------- what attention cannot


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("merge_qk", "query and key cannot be merged where q_norm stands between them: --no-merge-qk"),
        ("rectify", "normalises query and key already, and leaves nothing to rectify: --no-rectify"),
    ],
)
def test_query_and_key_that_are_normalised_are_neither_merged_nor_rectified(
    word: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def normalised(recipe: Recipe, *, numbers: bool = True) -> Any:
        shape = {"img_size": 16, "patch_size": 4, "in_chans": 1, "embed_dim": 16, "depth": 1, "num_heads": 2}
        return VisionTransformer(num_classes=recipe.model.num_classes, qk_norm=True, **shape)

    monkeypatch.setattr(build, "float_model", normalised)
    refused(small.recipe("lsq", tmp_path, quant={word: True}), said)


def test_what_is_merged_is_not_rectified() -> None:
    meant(QuantSettings, "leave out one of the two", merge_qk=True, rectify=True)


def test_what_is_merged_does_not_relate(tmp_path: Path, float_run: Ran) -> None:
    recipe = small.recipe("lsq", tmp_path, quant={"merge_qk": True}, model={"initial_checkpoint": float_run.folder})
    taught = small.change(recipe, distill={"teacher": "self", "relations": 1.0})
    refused(taught, "--relations compares queries and keys, which --merge-qk makes one")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            {"merge_qk": True},
            "--merge-qk is for attention, and test_resnet has none that can be quantized: --no-merge-qk",
        ),
        ({"rectify": True}, "--rectify is for attention"),
        ({"granularity": "head"}, "--granularity head is for attention"),
        ({"activation_granularity": "head"}, "--activation-granularity head is for attention"),
        ({"activation_granularity": "token"}, "--activation-granularity token is for attention"),
    ],
    ids=str,
)
def test_words_about_attention_are_refused_where_there_is_none(
    words: dict[str, Any], said: str, tmp_path: Path
) -> None:
    refused(small.recipe("lsq", tmp_path, model={"model": "test_resnet"}, quant=words), said)


def test_a_scale_for_each_token_is_refused_where_their_number_is_not_fixed(tmp_path: Path) -> None:
    recipe = small.recipe("lsq", tmp_path, quant={"activation_granularity": "token"})
    swin = {"model": "swin_tiny_patch4_window7_224", "img_size": 56, "drop_path": 0.0}
    refused(small.change(recipe, model=swin), "this layer's input has no fixed number; --activation-granularity tensor")


# ------------------------------------------------------------------------------------------------------ what has codes


@pytest.mark.parametrize("method", ["vvtq", "dampen", "freeze"])
def test_weights_of_eight_bits_are_not_steered(method: str, tmp_path: Path) -> None:
    recipe = small.recipe(method, tmp_path, quant={"bits": "w8a8"}, distill={"taught": False})
    off = {"vvtq": "--bin-reg 0, or --bin-reg-bits with their width", "dampen": "--dampen 0", "freeze": "--no-freeze"}
    refused(recipe, f"bits, and this model has 8: {off[method]}")


def test_weights_that_learn_their_bits_have_no_fixed_codes_to_steer(tmp_path: Path) -> None:
    recipe = small.recipe("qvit_mixed", tmp_path, dynamics={"track": TrackSettings(track=True)})
    refused(recipe, "for weights of a fixed width, and those of this model learn theirs: leave it out")


@pytest.mark.parametrize("words", [{"moves": True}, {"activation_granularity": "token"}], ids=str)
def test_activations_that_stay_float_have_no_shifts_and_no_scales(words: dict[str, Any]) -> None:
    meant(QuantSettings, "is for activations that snap, and --bits w2a32 leaves them: --", bits="w2a32", **words)


def test_weights_are_not_annealed_at_a_rate_of_zero(tmp_path: Path) -> None:
    recipe = small.recipe("lsq", tmp_path, dynamics={"anneal": AnnealSettings(anneal_epochs=1)})
    refused(recipe, "at the rate where the schedule ends, and that is 0: --min-lr 1e-5, or --anneal-epochs 0")


def test_a_training_that_ends_before_the_first_look_is_refused(tmp_path: Path) -> None:
    recipe = small.recipe("lsq", tmp_path, dynamics={"track": TrackSettings(track=True, track_every=11)})
    refused(recipe, "--track-every 11 is more than the 10 steps of the training")


@pytest.mark.parametrize("bits", ["w1a4", "w4a32", "w32a32"])
def test_bits_that_are_learned_begin_where_they_can_be(bits: str) -> None:
    meant(QuantSettings, "begins at 2 to 8 bits, and not at --bits", bits=bits, weight="learned_bits",
          activation="learned_bits", granularity="head")  # fmt: skip


@pytest.mark.parametrize("epochs", [20, 30])
def test_what_was_not_trained_is_not_annealed(epochs: int, tmp_path: Path, float_run: Ran) -> None:
    recipe = small.recipe("ofq", tmp_path, model={"initial_checkpoint": float_run.folder}, schedule={"epochs": epochs})
    refused(recipe, f"weights have to be trained before they are annealed: --epochs {epochs + 30}")


def test_weights_that_are_quantized_last_have_no_codes_to_steer(tmp_path: Path, float_run: Ran) -> None:
    recipe = small.recipe("gplq", tmp_path, model={"initial_checkpoint": float_run.folder})
    for group, words in (("track", {"track": True}), ("penalty", {"bin_reg": 0.1}), ("anneal", {"anneal_epochs": 1})):
        settings = getattr(recipe.dynamics, group)
        refused(
            small.change(recipe, dynamics={group: type(settings)(**words)}),
            "and --weights-last leaves weights float while they train: leave it out",
        )


# ---------------------------------------------------------------------------------------------------------- who teaches


@pytest.mark.parametrize("method", ["ofq", "qvit", "gplq"])
def test_a_method_that_is_its_own_teacher_needs_float_weights(method: str, tmp_path: Path) -> None:
    refused(small.recipe(method, tmp_path), "--teacher self is the float model with its start weights: give them")


def test_gplq_without_a_teacher_is_refused(tmp_path: Path) -> None:
    refused(small.recipe("gplq", tmp_path, distill={"teacher": None, "teacher_share": 0.5, "features": 0.0}),
            "gplq learns from a teacher")  # fmt: skip


def test_a_method_that_learns_stored_labels_needs_a_store_or_a_teacher(tmp_path: Path) -> None:
    refused(small.recipe("vvtq", tmp_path), "vvtq learns from a teacher: give stored labels, --labels STORE")


@pytest.mark.parametrize("word", ["features", "relations"])
def test_the_inside_of_a_teacher_needs_one_that_is_asked(word: str) -> None:
    meant(DistillSettings, f"--{word} has no effect without a teacher: give one, --teacher RUN", **{word: 1.0})
    stored = {"labels": Path("store"), word: 1.0}
    meant(DistillSettings, f"--{word} is for a teacher that is asked at every step", **stored)
    meant(DistillSettings, f"--{word} is a strength from 0, got -1", teacher="self", **{word: -1.0})


def test_one_looks_inside_in_one_way_and_not_into_compiled_blocks(tmp_path: Path, float_run: Ran) -> None:
    recipe = small.recipe("gplq", tmp_path, model={"initial_checkpoint": float_run.folder})
    refused(small.change(recipe, distill={"relations": 1.0}), "are two ways to look inside: leave out one of them")
    refused(
        small.change(recipe, machine={"torchcompile": True}), "which --torchcompile closes: leave out --torchcompile"
    )


# --------------------------------------------------------------------------------------------------------- learned bits


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"bit_budget": 1.0}, "--bit-budget is for bits that are learned: add --weight learned_bits"),
        ({"bit_budget_strength": 1.0}, "--bit-budget-strength is for bits that are learned"),
        ({"bit_freeze": 0.5}, "--bit-freeze is for bits that are learned"),
        ({**LEARNED, "bit_budget_strength": 1.0}, "no effect without --bit-budget"),
        ({**LEARNED, "bit_budget": 0.0}, "--bit-budget is above 0, got 0.0"),
        ({**LEARNED, "bit_freeze": 0.0}, "--bit-freeze is a share of the training"),
        ({"weight": "learned_bits", "weights_last": True}, "--weights-last leaves them float"),
    ],
    ids=str,
)
def test_words_about_bits_that_learn_need_some(words: dict[str, Any], said: str) -> None:
    meant(QuantSettings, said, **words)


def test_learned_bits_are_a_tensors_or_a_heads_and_their_budget_can_be_met(tmp_path: Path) -> None:
    mixed = small.recipe("qvit_mixed", tmp_path)
    meant(QuantSettings, "--granularity head, or --granularity tensor", **{**LEARNED, "granularity": "channel"})
    meant(QuantSettings, "--activation-granularity head, or tensor", **LEARNED, activation_granularity="token")
    refused(small.change(mixed, quant={"bit_budget": 1e-6}), "cannot be met, with 2 bits everywhere the model needs")


# --------------------------------------------------------------------------------------------------- weights at the end


def test_weights_that_are_quantized_last_are_not_merged_at_the_beginning() -> None:
    meant(QuantSettings, "--merge-qk makes new weights at the beginning", weights_last=True, merge_qk=True)
