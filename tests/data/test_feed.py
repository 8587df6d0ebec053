"""Loaders of images and of texts are both what a training takes its batches from."""

from __future__ import annotations

import torch

from stillbit.data.batch import Batch, logits_of
from stillbit.data.feed import Feed
from stillbit.data.generated import Generated
from stillbit.data.loaders import Loader
from stillbit.data.look import Look
from stillbit.data.settings import DataSettings
from stillbit.data.text import TextLoader
from stillbit.data.text_generated import generate
from stillbit.data.text_settings import TextSettings
from stillbit.data.text_tables import Tables
from stillbit.data.text_tokens import tokenise
from stillbit.data.wordpiece import train_pieces


def feeds() -> tuple[Feed, Feed]:
    look = Look((8, 8), 3, (0.5,) * 3, (0.5,) * 3, "bilinear", 1.0)
    images = Loader(Generated(10, 2, look.size, look.channels), look, DataSettings(batch_size=4, workers=0))
    texts = generate("acceptability", "train", 24)
    pieces = train_pieces(texts.first, size=200)
    tables = Tables(pieces=200, positions=64, types=2, outputs=2, pad=0)
    return images, TextLoader(tokenise(texts, pieces, tables), TextSettings(task="acceptability", batch_size=4))


def test_every_batch_says_what_a_model_is_called_with() -> None:
    for feed, count in zip(feeds(), (1, 3), strict=True):
        batch = next(feed.epoch(0))
        assert len(batch.inputs) == count and all(len(each) == len(batch.targets) == 4 for each in batch.inputs)
        assert feed.damaged == [] and feed.samples >= 4 * (len(feed) - 1)


def test_the_second_step_of_an_epoch_is_the_same_when_it_is_the_first_to_be_asked_for() -> None:
    for feed in feeds():
        _, second, *_ = feed.epoch(1)
        assert all(torch.equal(a, b) for a, b in zip(second.inputs, next(feed.epoch(1, start=1)).inputs, strict=True))


def test_logits_are_taken_out_of_what_transformers_wraps_them_in() -> None:
    class Wrapped:
        logits = torch.ones(2, 3)

    assert logits_of(Wrapped()) is Wrapped.logits
    plain = torch.zeros(2, 3)
    assert logits_of(plain) is plain
    assert Batch(plain, plain, plain).inputs == (plain,)
