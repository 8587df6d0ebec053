"""Batches of chance: images, and sentences that fit their tables."""

from __future__ import annotations

import numpy as np

from stillbit.deploy.inputs import Wanted
from stillbit.deploy.program import Input
from stillbit.deploy.proof.noise import noise
from tests.deploy.programs import linear, reading


def test_images_are_noise_by_their_seed() -> None:
    (one,), (same,), (other,) = (noise(Wanted.of(linear()), 3, seed=seed) for seed in (0, 0, 1))
    assert one.shape == (3, 8) and one.dtype == np.float32
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_sentences_have_chance_lengths_and_the_first_is_whole() -> None:
    wanted = Wanted.of(reading())
    ids, mask = noise(wanted, 40, pad=4)
    wanted.taken((ids, mask))
    lengths = mask.sum(1)
    assert lengths[0] == 6 and lengths.min() >= 1 and len(set(lengths.tolist())) == 6
    assert (mask == (np.arange(6) < lengths[:, None])).all()
    assert (ids[mask == 0] == 4).all() and set(ids[mask == 1].tolist()) == set(range(10))


def test_of_which_text_a_word_is_fits_too_and_padding_is_of_the_first() -> None:
    inputs = tuple(Input(name=name, dims=(-1, 5), kind="indices") for name in ("types", "mask", "ids"))
    types, mask, ids = noise(Wanted(inputs=inputs, limits={"types": 2, "ids": 30}), 20, pad=3)
    assert set(types[mask == 1].tolist()) == {0, 1} and not types[mask == 0].any()
    assert (ids[mask == 0] == 3).all() and ids.max() < 30
