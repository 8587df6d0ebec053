"""What a proof looks at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from stillbit.cli.export import Export
from stillbit.cli.proof_seen import looked_at, noise, shown_by
from tests.deploy.proofs import ABOUT


class Few(NamedTuple):
    """Batches of two, of one array or of two, with labels or without."""

    arrays: int
    labelled: bool
    asked: list[int]
    words: str = "some"

    def portions(self, count: int, /) -> Iterator[tuple[Any, Any]]:
        self.asked.append(count)
        for start in range(0, count, 2):
            part = np.arange(start, min(start + 2, count))
            yield (part, 2 * part)[: self.arrays] if self.arrays > 1 else part, part if self.labelled else None


def test_images_are_an_array_and_texts_are_several() -> None:
    images, told = looked_at(Few(1, True, []), Export(target=Path(), samples=5, images=0))
    assert isinstance(images, np.ndarray) and images.tolist() == [0, 1, 2, 3, 4] and told.seen == "some"
    assert told.labels is not None and told.labels.tolist() == images.tolist() and not list(told.more)
    given, told = looked_at(Few(2, False, []), Export(target=Path(), samples=3, images=0))
    assert [each.tolist() for each in given] == [[0, 1, 2], [0, 2, 4]] and told.labels is None


def test_more_are_read_when_they_are_asked_for() -> None:
    few = Few(1, True, [])
    _, told = looked_at(few, Export(target=Path(), samples=2, images=7))
    assert few.asked == [2] and sum(len(part) for part, _ in told.more) == 7 and few.asked == [2, 7]


def test_where_there_are_none_noise_is_offered() -> None:
    def gone() -> Few:
        raise ValueError("the data is gone: name it with --data-dir FOLDER")

    def other() -> Few:
        raise ValueError("it has 3 classes: give the data it was trained for, --data-dir FOLDER")

    with pytest.raises(ValueError, match="--data-dir FOLDER, or prove it on noise, --noise"):
        shown_by(gone)
    with pytest.raises(ValueError, match=r"--data-dir FOLDER$"):
        shown_by(other)


def test_noise_is_pictures_as_the_model_sees_them_the_same_each_time() -> None:
    first = noise(ABOUT, 50)
    assert first.shape == (50, 3, 16, 16) and np.array_equal(first, noise(ABOUT, 50))
    low, high = first.min((0, 2, 3)), first.max((0, 2, 3))
    np.testing.assert_allclose(low, [-2.5, -4 / 3, -0.75], rtol=1e-5)
    np.testing.assert_allclose(high, [2.5, 2.0, 1.75], rtol=1e-5)
