"""From words to options."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stillbit.cli.options import parse


@dataclass(frozen=True, kw_only=True)
class Inner:
    depth: int = 3
    """How deep."""
    wide: bool = False

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ValueError("--depth is at least 0")


@dataclass(frozen=True, kw_only=True)
class Outer:
    """About it."""

    inner: Inner = field(default_factory=Inner)
    folder: Path | None = None


def options(*words: str, default: Outer | None = None) -> Outer:
    return parse(Outer, words, prog="it", default=default)


def test_nothing_said_is_the_default() -> None:
    assert options() == Outer()
    other = Outer(inner=Inner(depth=7), folder=Path("there"))
    assert options(default=other) == other


def test_a_field_inside_is_a_flag_without_a_prefix() -> None:
    assert options("--depth", "5", "--wide", "--folder", "a b") == Outer(
        inner=Inner(depth=5, wide=True), folder=Path("a b")
    )
    assert options("--depth=5").inner.depth == 5


def test_a_switch_is_said_or_not() -> None:
    with pytest.raises(SystemExit):
        options("--no-wide")


@pytest.mark.parametrize("words", [["--dept", "3"], ["--depth", "three"], ["--depth"], ["stray"]])
def test_a_wrong_word_ends_the_program_with_what_was_meant(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        options(*words)
    out, err = capsys.readouterr()
    assert end.value.code == 2 and not out
    assert "--help" in err and "Traceback" not in err
    assert words[0] == "stray" or "--depth" in err


def test_what_a_dataclass_refuses_is_one_sentence_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"^--depth is at least 0$"):
        options("--depth", "-1")
    assert capsys.readouterr() == ("", "")


def test_help_shows_a_flag_with_its_meaning_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        options("--help")
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert said.count("usage:") == 1, "once, though the words are read twice"
    assert "About it." in said and "--depth INT" in said and "How deep. (default: 3)" in said
