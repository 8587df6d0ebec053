"""A model that lacks what the words are about is left alone, and one that has it is quantized."""

from __future__ import annotations

import pytest
import timm

from stillbit.layers.walk import quantized
from stillbit.methods.build import plan_of
from stillbit.methods.fits import fitted
from stillbit.methods.recipe import ModelSettings, QuantSettings

HEADS = QuantSettings(bits="w2a2", granularity="head")


def test_a_model_with_heads_is_quantized_by_head() -> None:
    model = timm.create_model("test_vit")
    fitted(model, plan_of(HEADS), HEADS, ModelSettings(model="test_vit"))
    layers = dict(quantized(model))
    assert layers["blocks.0.attn.qkv"].quantizers()["weight"].scale.numel() == 3 * model.blocks[0].attn.num_heads


def test_a_model_without_heads_is_named_and_stays_float() -> None:
    model = timm.create_model("test_resnet")
    with pytest.raises(ValueError, match="and my net has none that can be quantized: --granularity channel"):
        fitted(model, plan_of(HEADS), HEADS, ModelSettings(model="my net"))
    assert not list(quantized(model))


def test_words_of_their_own_bits_are_for_models_that_have_words() -> None:
    settings = QuantSettings(bits="w1a1", embedding_bits=1)
    model = timm.create_model("test_vit")
    with pytest.raises(ValueError, match="--embedding-bits is for the word embeddings of texts, and my net has none"):
        fitted(model, plan_of(settings), settings, ModelSettings(model="my net"))
    assert not list(quantized(model))
