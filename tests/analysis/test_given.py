"""Images and texts, asked the same questions."""

from __future__ import annotations

import pytest
import torch
from transformers import BertModel

from stillbit.analysis.given import (
    Given,
    answer,
    aside,
    kind_of,
    mask_of,
    sentences,
    split,
    tensors_of,
    to_calibrate,
    unpadded,
)
from stillbit.data.batch import Batch
from tests.analysis import texts
from tests.surgery import tiny

IMAGES: Given = Batch(tiny.images(5), torch.arange(5), torch.arange(5))


def test_the_answer_of_a_model_of_transformers_is_its_logits() -> None:
    model, batch = texts.reader(), texts.texts(types=True)[0]
    said = model(input_ids=batch.ids, attention_mask=batch.mask, token_type_ids=batch.types).logits
    assert torch.equal(answer(model, batch), said)
    vit = tiny.vit().eval()
    assert torch.equal(answer(vit, IMAGES), vit(tiny.images(5)))


def test_an_encoder_without_a_classifier_is_refused_in_a_sentence() -> None:
    bare = BertModel(texts.reader().config).double()
    with pytest.raises(ValueError, match=r"^BertModel answers with no logits: give .*ForSequenceClassification$"):
        answer(bare, texts.texts()[0])


@pytest.mark.parametrize("given", [IMAGES, texts.texts((4, 6, 3, 5, 7), size=5, types=True)[0]])
def test_a_split_batch_has_the_same_samples_in_the_same_order(given: Given) -> None:
    parts = list(split(given, 2))
    assert [len(part.targets) for part in parts] == [2, 2, 1] and {type(part) for part in parts} == {type(given)}
    for column, whole in enumerate(given):
        if whole is None:
            assert all(part[column] is None for part in parts)
        else:
            assert torch.equal(torch.cat([part[column] for part in parts]), whole)


def test_samples_are_called_what_they_are() -> None:
    assert kind_of([IMAGES]) == kind_of([]) == "images" and kind_of(texts.texts()) == "texts"
    assert aside("texts") and not aside("images")


def test_calibration_gets_images_as_they_are_and_texts_by_name() -> None:
    one, other = to_calibrate([IMAGES, texts.texts(types=True)[0]])
    assert one is IMAGES.inputs[0] and list(other) == ["input_ids", "attention_mask", "token_type_ids"]
    assert list(to_calibrate(texts.texts())[0]) == ["input_ids", "attention_mask"]


def test_padding_is_left_out_of_tokens_and_of_heads() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    tokens, heads = torch.randn(2, 3, 4), torch.randn(2, 5, 3, 4)
    assert torch.equal(unpadded(tokens, mask), torch.stack([tokens[0, 0], tokens[0, 1], tokens[1, 0]]))
    rows = torch.stack([heads[0, :, 0], heads[0, :, 1], heads[1, :, 0]])
    assert torch.equal(unpadded(heads, mask), rows.flatten(1))
    pooled = torch.randn(2, 4)
    assert unpadded(pooled, mask) is pooled and unpadded(tokens, None) is tokens
    assert [text.shape for text in sentences(tokens, mask)] == [(1, 2, 4), (1, 1, 4)]


def test_a_loss_depends_on_the_mask_too() -> None:
    batch = texts.texts()[0]
    assert [tensor.data_ptr() for tensor in tensors_of(batch)] == [t.data_ptr() for t in (batch[0], batch[1], batch[3])]
    assert mask_of(batch) is batch.mask and mask_of(IMAGES) is None
