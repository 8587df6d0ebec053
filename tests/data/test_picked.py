"""Few images of many, and fair to the classes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from stillbit.data.digits import Digits
from stillbit.data.generated import Generated
from stillbit.data.picked import Picked, evenly, fairly


class Sorted:
    """Images as folders have them: class by class, and of some classes more than of others."""

    classes = ("a", "b", "c", "d")
    labels = [0] * 5 + [1] * 1 + [2] * 3 + [3] * 4

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int, epoch: int) -> Tensor:
        return torch.full((1, 2, 2), index, dtype=torch.uint8)

    def label(self, index: int) -> int:
        return self.labels[index]

    def name(self, index: int) -> str:
        return f"image {index}"

    def describe(self) -> dict[str, Any]:
        return {"kind": "sorted"}


@pytest.mark.parametrize("count", [10, 25, 37])
def test_every_class_comes_as_often_as_any_other_or_once_more(count: int) -> None:
    source = Digits("val")
    chosen = evenly(source, count)
    often = Counter(source.label(index) for index in chosen)
    assert len(set(chosen)) == count and len(often) == 10 and max(often.values()) - min(often.values()) <= 1


def test_the_first_of_every_class_come_first_and_then_the_second_ones() -> None:
    assert evenly(Sorted(), 7) == (0, 5, 6, 9, 1, 7, 10)


def test_a_turn_that_is_not_for_all_classes_is_for_classes_far_from_each_other() -> None:
    source = Generated(1000, 100, (4, 4), 3)
    assert evenly(source, 4) == (0, 25, 50, 75)


def test_where_there_are_fewer_all_are_taken_once() -> None:
    assert sorted(evenly(Sorted(), 99)) == list(range(13))
    assert evenly(Sorted(), 13) == evenly(Sorted(), 99)


def test_what_was_picked_is_a_source_of_the_same_classes() -> None:
    picked = Picked(Sorted(), (9, 0))
    assert len(picked) == 2 and picked.classes == ("a", "b", "c", "d")
    assert [picked.label(i) for i in range(2)] == [3, 0] and picked.name(0) == "image 9"
    assert torch.equal(picked.image(0, 0), Sorted().image(9, 0))
    assert picked.describe() == {"kind": "sorted", "picked": 2}


def test_labels_are_picked_fairly_whatever_they_are_of() -> None:
    assert fairly(Sorted.labels, 6) == evenly(Sorted(), 6)
    assert fairly([2.5, 0.0, 2.5, 0.0, 1.0], 4) == (1, 4, 0, 3)
    assert fairly([1, 1], 5) == (0, 1) and fairly([], 3) == ()
