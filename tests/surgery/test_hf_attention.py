"""Quantized attentions of transformers: the class they join, and how they travel."""

from __future__ import annotations

import io
import pickle
from copy import deepcopy
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.models.bert.modeling_bert import BertSelfAttention
from transformers.models.vit.modeling_vit import ViTAttention

import stillbit
from stillbit.layers.interface_attention import INTERFACE, attend
from stillbit.surgery.hf_attention import quantized_class
from tests.surgery.tiny_hf import bert, sentences


def model() -> Any:
    quantized_model = stillbit.quantize(bert().eval(), "w4a4")
    stillbit.calibrate(quantized_model, [sentences()])
    return quantized_model


def test_the_function_is_registered_under_our_name() -> None:
    assert AttentionInterface._global_mapping[INTERFACE] is attend


def test_a_float_class_is_joined_once_and_asked_for_by_its_own_name() -> None:
    joined = quantized_class(BertSelfAttention)
    assert joined is quantized_class(BertSelfAttention) and joined is not quantized_class(ViTAttention)
    assert issubclass(joined, BertSelfAttention) and joined.__name__ == "QuantBertSelfAttention"


def test_a_copy_and_a_pickle_compute_the_same_to_the_bit() -> None:
    first = model()
    page = io.BytesIO()
    pickle.dump(first, page)
    page.seek(0)
    for twin in (deepcopy(first), pickle.load(page)):
        assert type(twin.bert.encoder.layer[0].attention.self) is quantized_class(BertSelfAttention)
        assert torch.equal(twin(**sentences()).logits, first(**sentences()).logits)
        assert repr(twin) == repr(first)


def test_a_copy_has_a_config_of_its_own_for_its_attention_too() -> None:
    first = model()
    twin = deepcopy(first)
    mine, theirs = (m.bert.encoder.layer[0].attention.self for m in (first, twin))
    assert mine.config is not theirs.config and mine.float_config is first.config
    assert theirs.float_config is twin.config


def test_dequantize_gives_back_the_class_and_the_config() -> None:
    back = stillbit.dequantize(model())
    attention = back.bert.encoder.layer[0].attention.self
    assert type(attention) is BertSelfAttention and attention.config is back.config
    assert not hasattr(attention, "num_heads") and not hasattr(attention, "float_config")
