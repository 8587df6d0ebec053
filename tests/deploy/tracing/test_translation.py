"""What translations share."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from stillbit.deploy.tracing.held import Traced
from stillbit.deploy.tracing.translation import Translation, changed, entering, pair, rest


def test_a_translation_is_found_under_each_of_its_names() -> None:
    table: dict[Any, Translation] = {}

    @entering(table)("one", "two")
    def translation(emit: Any, args: Any, kwargs: Any, dims: Any) -> Any:
        return None

    assert table == {"one": translation, "two": translation}


def test_what_was_not_said_has_its_default() -> None:
    assert rest(("x", 1), 7, 8, 9) == [1, 8, 9]


def test_one_size_stands_for_two() -> None:
    assert [pair(2), pair([3]), pair((4, 5))] == [[2, 2], [3, 3], [4, 5]]


def test_only_what_is_known_can_be_changed() -> None:
    turned = changed(Traced(known=torch.arange(3)), lambda t: t.flip(0)).known
    assert turned is not None and turned.tolist() == [2, 1, 0]
    with pytest.raises(ValueError, match="its weights depend on the input"):
        changed(Traced(name="v0"), lambda t: t)
