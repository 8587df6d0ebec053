"""Widths in words, and the way down through them."""

from __future__ import annotations

from typing import Any

import pytest

from stillbit.methods.recipe import QuantSettings
from stillbit.methods.widths import FLOAT, Width, the_width, width_of


def test_a_width_is_read_from_its_words() -> None:
    assert width_of("w1a2") == Width(1, 2) == width_of("W1A2") == the_width("w1a2")
    assert width_of("w1a") is None and width_of("") is None and the_width("w32a32").is_float


def test_narrower_is_fewer_bits_somewhere_and_nowhere_more() -> None:
    assert Width(1, 2).narrower(FLOAT) and Width(1, 1).narrower(Width(1, 2))
    assert not Width(1, 2).narrower(Width(1, 2)) and not Width(1, 4).narrower(Width(2, 2))


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ({"through": ("w32",)}, "--through w32: say how many bits weights and activations have, as in w1a2"),
        ({"through": ("w1a2", "w32a32")}, "w32a32 has no fewer bits than w1a2: leave w1a2 out"),
        ({"through": ("w32a32", "w1a1")}, "--through goes down to --bits w1a1, and w1a1 has no fewer bits than w1a1"),
        ({"through_epochs": (1,)}, "--through-epochs is for widths to go through first: name them, --through w32a32"),
        ({"through_lr": (0.1,)}, "--through-lr is for widths to go through first"),
        ({"through": ("w8a8", "w4a4"), "through_epochs": (1, 2, 3)}, "for all of --through, or 2, one each: not 3"),
        ({"through": ("w8a8",), "through_epochs": (0,)}, "--through-epochs are at least 1, got 0"),
        ({"through": ("w8a8",), "through_lr": (-0.5,)}, "--through-lr are rates from 0, got -0.5"),
    ],
)
def test_a_way_that_does_not_go_down_is_refused(said: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        QuantSettings(bits="w1a1", **said)


def test_bits_that_are_no_width_are_left_to_who_reads_them() -> None:
    assert QuantSettings(bits="four", through=("w8a8",)).bits == "four"
