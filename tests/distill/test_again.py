"""Labels asked for once more: the same on the machine that wrote them, and what else is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stillbit.distill.again import again
from stillbit.distill.store import Store
from stillbit.distill.write import Work, request, write_labels
from tests.data.text_examples import pairs
from tests.distill import readers
from tests.distill.teachers import Zoo, images, panel, settings

COUNT, BATCHES = 11, 8
"""3 files of 4, 4 and 3 images x 5 crops, in batches of 8: 3 + 3 + 2."""


def written(out: Path, zoo: Zoo | None = None, seeds: tuple[int, ...] = (0,), **other: Any) -> Store:
    wanted = settings(out, **other)
    seen, asked = images(zoo or Zoo(COUNT), wanted), panel(*seeds, precision=wanted.precision)
    write_labels(out, request(seen, asked, wanted), seen, asked, Work(corrupt="skip"))
    return Store(out)


@pytest.mark.parametrize("kind", ["full", "hard", "smoothing", "marginal_smoothing", "marginal_renorm"])
def test_every_batch_comes_out_the_same_to_the_last_bit(kind: str, tmp_path: Path) -> None:
    store = written(tmp_path, label_kind=kind)
    said = again(store, Zoo(COUNT), panel(), 99)
    assert [(one.shard, one.batch) for one in said] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]
    assert sum(one.views for one in said) == COUNT * 5
    assert all(one.identical == one.views and one.largest == 0 for one in said)


def test_with_other_threads_and_several_teachers_in_bfloat16_too(tmp_path: Path) -> None:
    store = written(tmp_path, seeds=(1, 2), precision="bf16")
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    said = again(store, Zoo(COUNT), panel(1, 2, precision="bf16"), 3)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert len(said) == 3 and all(one.identical == one.views for one in said)


def test_other_numbers_are_seen(tmp_path: Path) -> None:
    """As a teacher would give them on another machine; here, one whose hash is not looked at."""
    store = written(tmp_path)
    other = panel(5)
    other.describe = panel().describe  # type: ignore[method-assign]
    said = again(store, Zoo(COUNT), other, BATCHES)
    assert max(one.largest for one in said) > 0.1 and sum(one.identical for one in said) < COUNT * 5


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has labels of net 0, with other weights than these: give --teacher"):
        again(written(tmp_path), Zoo(COUNT), panel(1), 1)


def test_another_way_to_compute_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was written in fp32 and this is bf16: ask in the same way"):
        again(written(tmp_path), Zoo(COUNT), panel(precision="bf16"), 1)


def test_images_that_were_damaged_then_stay_without_labels_and_those_that_are_now_are_named(tmp_path: Path) -> None:
    store = written(tmp_path / "a", Zoo(COUNT, damaged=[2]))
    assert all(one.identical == one.views for one in again(store, Zoo(COUNT, damaged=[2]), panel(), 99))
    with pytest.raises(ValueError, match="animal 5 has labels, and cannot be used: it is empty; repair it"):
        again(store, Zoo(COUNT, damaged=[5, 2]), panel(), 99)


def test_which_batches_are_asked_is_a_function_of_the_seed(tmp_path: Path) -> None:
    store = written(tmp_path)
    first, same, other = ([(o.shard, o.batch) for o in again(store, Zoo(COUNT), panel(), 3, s)] for s in (0, 0, 1))
    assert first == same != other and len(np.unique(first, axis=0)) == 3


def test_texts_are_asked_again_to_the_last_bit_and_one_that_is_told_otherwise_is_named(tmp_path: Path) -> None:
    texts = pairs(43)
    store = readers.written(tmp_path, texts)
    said = again(store, readers.examples(texts), readers.panel(), 99)
    assert sum(one.views for one in said) == 43 and len(said) == 7
    assert all(one.identical == one.views and one.largest == 0 for one in said)
    other = readers.panel(5)
    other.describe = readers.panel().describe  # type: ignore[method-assign]
    worst = max(again(store, readers.examples(texts), other, 99), key=lambda one: one.largest)
    assert worst.largest > 0.1 and worst.name.startswith("made up, line ")
