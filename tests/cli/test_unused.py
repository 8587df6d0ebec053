from __future__ import annotations

from dataclasses import dataclass

import pytest

from stillbit.cli.unused import refuse_unused


@dataclass(frozen=True, kw_only=True)
class Options:
    target: str
    data_dir: str | None = None
    device: str = "auto"


def test_an_option_that_was_not_said_is_no_mistake() -> None:
    refuse_unused(Options(target="x"), "nobody reads it", "data_dir", "device")


def test_an_option_without_effect_is_named() -> None:
    with pytest.raises(ValueError, match=r"^nobody reads it: leave out --data-dir$"):
        refuse_unused(Options(target="x", data_dir="here"), "nobody reads it", "data_dir", "device")


def test_other_options_are_free() -> None:
    refuse_unused(Options(target="x", device="cpu"), "nobody reads it", "data_dir")
