"""Sentences longer than the table of positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import stillbit
from tests.surgery.tiny_hf import READERS, bert, distilbert, electra, roberta, vit


def words(length: int) -> torch.Tensor:
    return torch.randint(5, 64, (2, length))


def said(limit: int, length: int) -> str:
    return rf"a sentence of {length} tokens does not fit the {limit} positions .*max_length={limit}\)"


@pytest.mark.parametrize(("make", "limit"), [(bert, 20), (electra, 20), (distilbert, 20), (roberta, 18)])
def test_a_sentence_that_is_too_long_is_refused_in_a_sentence(make: Any, limit: int) -> None:
    model = stillbit.quantize(make(), "w32a32").eval()
    assert model(words(limit)).logits.shape == (2, 10)
    for length in (limit + 1, 3 * limit):
        with pytest.raises(ValueError, match=said(limit, length)):
            model(input_ids=words(length))
        with pytest.raises(ValueError, match=said(limit, length)):
            model(words(length), attention_mask=torch.ones(2, length))


def test_embeddings_in_place_of_words_are_measured_too() -> None:
    model = stillbit.quantize(bert(), "w32a32")
    with pytest.raises(ValueError, match=said(20, 21)):
        model(inputs_embeds=torch.randn(1, 21, 48))


@pytest.mark.parametrize("family", READERS)
def test_the_float_model_is_not_watched_and_neither_is_one_that_was_dequantized(family: str) -> None:
    model = READERS[family]()
    watched = stillbit.quantize(model, "w8a8")
    assert sum(len(m._forward_pre_hooks) for m in watched.modules()) == 1
    for free in (model, stillbit.dequantize(watched)):
        assert not any(m._forward_pre_hooks or m._forward_pre_hooks_with_kwargs for m in free.modules())


def test_hooks_of_others_stay_where_they_are() -> None:
    model = bert()
    model.bert.embeddings.register_forward_pre_hook(lambda module, args: None)
    back = stillbit.dequantize(stillbit.quantize(model, "w8a8"))
    assert len(back.bert.embeddings._forward_pre_hooks) == 1


def test_images_have_no_such_table() -> None:
    assert not any(m._forward_pre_hooks for m in stillbit.quantize(vit(), "w8a8").modules())
