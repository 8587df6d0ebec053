import re
from pathlib import Path

import pytest

from tests.house.pages import pages, read, split
from tests.house.source import ROOT

# Python is run. The rest is shown: what a shell shows, a file, a picture, words.
LANGUAGES = {"python", "console", "text", "toml", "json", "mermaid", "bibtex"}


def blocks(page: str, language: str) -> list:
    return [block for block in split(read(page))[1] if block.language == language]


def commands(page: str) -> list[str]:
    lines = [line.strip() for block in blocks(page, "console") for line in block.code.splitlines()]
    return [line.removeprefix("$ ") for line in lines]


def run_python(page: str, text: str) -> None:
    """Run the blocks one after the other in one namespace. A traceback names the page and its line."""
    namespace: dict = {"__name__": "__main__"}
    for block in split(text)[1]:
        if block.language == "python":
            exec(compile("\n" * block.line + block.code, ROOT / page, "exec"), namespace)


@pytest.mark.parametrize("page", pages())
def test_the_python_on_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_python(page, read(page))


def test_a_page_that_lies_is_caught_with_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_python("page.md", "# Page\n\n```python\nx = 0\n```\n\nand then\n\n```python\n1 / x\n```\n")
    assert caught.traceback[-1].lineno + 1 == 10


@pytest.mark.parametrize("page", pages())
def test_every_block_names_a_language_the_house_knows(page: str) -> None:
    strange = {block.line: block.language for block in split(read(page))[1] if block.language not in LANGUAGES}
    assert not strange, f"{page}, by line: {strange}. Use one of {sorted(LANGUAGES)}; python is run"


@pytest.mark.parametrize("page", pages())
def test_every_make_command_on_a_page_exists(page: str) -> None:
    targets = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    asked = {command.split()[1] for command in commands(page) if command.startswith("make ")}
    assert asked <= set(targets), f"the Makefile has only {targets}"


def test_the_readme_starts_with_its_two_commands() -> None:
    first_words = [command.split("#")[0].strip() for command in commands("README.md")]
    assert {"make demo", "make test"} <= set(first_words)


def test_the_readme_shows_python() -> None:
    assert blocks("README.md", "python")


def test_there_is_documentation() -> None:
    assert any(page.startswith("docs/") for page in pages())


def test_what_ci_runs_is_make_check() -> None:
    assert "make check" in (ROOT / ".ci" / "run").read_text()
