"""What a prediction shows."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from stillbit.cli.predict_show import likeliest, show


def test_the_likeliest_comes_first_and_shares_are_those_of_all_classes() -> None:
    found = likeliest(np.log(np.array([1.0, 7.0, 2.0])), ("a", "b"), 2)
    assert [(row["class"], row["name"]) for row in found] == [(1, "b"), (2, "class 2")]
    assert [row["probability"] for row in found] == pytest.approx([0.7, 0.2])


def test_large_logits_stay_numbers() -> None:
    (row,) = likeliest(np.array([1e4, 0.0], np.float32), (), 1)
    assert row["probability"] == 1.0


def test_blocks_stand_apart() -> None:
    page = io.StringIO()
    console = Console(file=page, width=60)
    for title, apart in (("[one]", False), ("two", True)):
        show(console, title, [{"probability": 0.5, "name": "[red]"}], apart=apart)
    assert page.getvalue().splitlines() == ["[one]", "   50.00%  [red]", "", "two", "   50.00%  [red]"]
