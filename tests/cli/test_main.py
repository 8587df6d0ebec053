"""The first word of the command line, and how it ends."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from stillbit import __version__
from stillbit.cli import main as cli
from tests.cli.command import call, mistake, works


def test_no_word_at_all_shows_the_commands_and_is_a_mistake() -> None:
    said = call("")
    assert said.code == 2
    assert said.out == works("--help")


@pytest.mark.parametrize("word", ["-h", "--help", "help"])
def test_help_lists_every_command(word: str) -> None:
    said = works(word)
    assert said.startswith("usage: stillbit COMMAND ...")
    assert all(f"  {name} " in said and what in said for name, what in cli.COMMANDS.items())


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_every_command_has_a_help(command: str) -> None:
    assert works(f"{command} --help").startswith(f"usage: stillbit {command}")


def test_the_version_is_the_one_of_the_package() -> None:
    assert works("--version") == f"stillbit {__version__}\n"


def test_a_command_misspelt_is_told_the_near_one() -> None:
    assert mistake("trian fp") == "stillbit: there is no command 'trian': did you mean stillbit train?\n"


def test_a_command_like_no_other_is_told_where_they_are_listed() -> None:
    assert mistake("xyz") == "stillbit: there is no command 'xyz': stillbit --help\n"


class Broken:
    """A command that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def run(self, words: list[str]) -> int:
        raise self.error


def broken(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "import_module", lambda name: Broken(error))
    monkeypatch.setattr(cli.time, "sleep", lambda seconds: None)


def test_an_error_of_the_system_is_one_sentence_with_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(OSError(errno.ENOSPC, "No space left on device", "runs/a"), monkeypatch)
    assert mistake("info") == "stillbit: runs/a: No space left on device\n"


def test_an_error_that_is_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(RuntimeError("not the user's"), monkeypatch)
    with pytest.raises(RuntimeError, match="not the user's"):
        cli.main(["info"])


def test_a_stop_before_anything_was_done_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(KeyboardInterrupt(), monkeypatch)
    assert call("info") == (130, "", "stillbit: stopped\n")


def test_square_brackets_in_a_sentence_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(ValueError("classes[3] [bold]is[/] odd"), monkeypatch)
    assert mistake("info") == "stillbit: classes[3] [bold]is[/] odd\n"


@pytest.mark.parametrize("said", ["[../gloo/transport] Connection closed by peer", "NCCL error", "Broken pipe"])
def test_a_process_that_lost_another_says_how_to_go_on(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(RuntimeError(said), monkeypatch)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    end = call("info")
    assert end.code == 1
    assert end.err == (
        "stillbit (process 1): another process of this job is gone, so this one stops too: go on with --resume auto\n"
    )


def test_a_process_alone_has_lost_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    broken(RuntimeError("Connection closed by peer"), monkeypatch)
    with pytest.raises(RuntimeError):
        cli.main(["info"])


def test_every_command_has_its_file() -> None:
    """And the commands below one, as in stillbit labels write, have theirs beside it."""
    files = {path.stem.partition("_")[0] for path in Path(cli.__file__).parent.glob("[a-z]*.py")}
    assert cli.COMMANDS.keys() == files - {"main", "options", "pillars", "proof", "proving", "unused"}
