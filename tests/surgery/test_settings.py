"""What is plain about a module, and public, and no matter of its mode."""

from __future__ import annotations

from torch import nn

from stillbit.surgery.settings import settings_of
from tests.surgery import tiny


def test_the_settings_of_a_layer_are_its_numbers_words_and_tuples() -> None:
    held = settings_of(nn.Conv2d(4, 6, 3, stride=2, padding="valid"))
    assert held["stride"] == (2, 2) and held["padding"] == "valid" and held["groups"] == 1
    assert not any(name.startswith("_") for name in held)


def test_the_mode_is_no_setting() -> None:
    layer = nn.Dropout(0.3)
    assert settings_of(layer.eval()) == settings_of(layer.train())


def test_attentions_that_differ_only_in_their_heads_are_told_apart() -> None:
    three, four = (settings_of(tiny.vit(num_heads=heads).blocks[0].attn) for heads in (3, 4))
    assert three["num_heads"] == 3 and three != four
