"""Texts as tokens."""

from __future__ import annotations

import torch

from stillbit.analysis.sentence import SHOWN, cuts, reading_of_text, sentences_of
from stillbit.data.batch import Batch
from stillbit.data.text import TextBatch
from tests.analysis import texts
from tests.surgery import tiny, tiny_hf


def test_a_text_is_cut_to_its_tokens_wherever_padding_stands() -> None:
    mask = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0]])
    batch = TextBatch(torch.zeros_like(mask), mask, None, torch.zeros(2), torch.arange(2))
    attended = torch.randn(2, 3, 4, 4)
    one, other = cuts({"a": attended}, batch)
    there = [0, 1, 3]
    assert torch.equal(one["a"], attended[:1][:, :, there][..., there])
    assert torch.equal(other["a"], attended[1:, :, 1:3, 1:3])


def test_images_stay_together() -> None:
    attended = torch.randn(2, 3, 4, 4)
    images = Batch(tiny.images(2), torch.arange(2), torch.arange(2))
    (whole,) = cuts({"a": attended}, images)
    assert whole["a"] is attended


def test_tokens_are_words_with_what_begins_and_ends_them_and_without_padding() -> None:
    batch = texts.texts((5, 3), size=2)[0]
    known = {texts.START: "[CLS]", texts.END: "[SEP]", tiny_hf.PAD: "[PAD]"}
    first, second = sentences_of([batch], known.get, 4)
    assert first.tokens[0] == "[CLS]" and first.tokens[-1] == "[SEP]" and len(first.tokens) == first.of == 5
    assert second.tokens == ("[CLS]", f"#{int(batch.ids[1, 1])}", "[SEP]"), "a piece without a word is its number"
    assert (second.number, second.target) == (11, 1.0)
    assert sentences_of([batch], None, 1)[0].tokens[0] == f"#{texts.START}"


def test_of_a_long_text_the_beginning_is_shown() -> None:
    batch = texts.texts((SHOWN + 8,), size=1)[0]
    (long,) = sentences_of([batch], None, 1)
    assert len(long.tokens) == SHOWN and long.of == SHOWN + 8


def test_where_the_model_answers_from_the_first_token_its_attention_is_read() -> None:
    model = texts.reader()
    assert reading_of_text(model).by_class and not reading_of_text(model.bert).by_class
    row = torch.tensor([[[0.1, 0.3], [0.5, 0.5]]])
    assert torch.allclose(reading_of_text(model).of(row), torch.tensor([[[0.25, 0.75]]]).double())
    assert torch.allclose(reading_of_text(model.bert).of(row), torch.tensor([[[3 / 7, 4 / 7]]]).double())
