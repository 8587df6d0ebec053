"""What the pages of methods tell people to type builds what they speak of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from stillbit.cli.options import parse
from stillbit.cli.train import Train
from stillbit.methods import RECIPES, build
from stillbit.models.encoders import is_ours
from tests.cli.command import works
from tests.house.test_page_code import commands

PAGES = Path(__file__).parents[2] / "docs" / "methods"
START = "-m stillbit.cli train "


def asked_of(name: str, command: str) -> list[str]:
    """The words behind `train`, of a command for many processes or for a task; else none."""
    alone = command.removeprefix("stillbit train ") if command.startswith(f"stillbit train {name} --task") else ""
    return shlex.split(command.partition(START)[2] or alone)


ASKED = [
    (name, words)
    for name in RECIPES
    for command in commands(f"docs/methods/{name}.md")
    if (words := asked_of(name, command))
]
"""The words behind `train`, with the method they stand on the page of."""
IDS = [f"{name}-{words[words.index('--model') + 1].split('_')[0]}" for name, words in ASKED]


def test_every_method_has_a_page_with_a_command_for_imagenet_or_glue() -> None:
    assert {name for name, _ in ASKED} == set(RECIPES)
    listed = {page.stem for page in PAGES.glob("*.md")} - {"compared"}
    assert listed == set(RECIPES)


@pytest.mark.parametrize("page", ["docs/index.md", "docs/command_line.md"])
def test_every_page_is_linked(page: str) -> None:
    text = (PAGES.parents[1] / page).read_text()
    assert set(re.findall(r"\(methods/(\w+)\.md\)", text)) >= set(RECIPES)


@pytest.mark.parametrize(("method", "words"), ASKED, ids=IDS)
def test_a_command_is_one_of_its_method_and_its_plan_can_be_made(method: str, words: list[str]) -> None:
    name, *rest = words
    assert name == method
    recipe = parse(Train, rest, prog=name, default=Train(recipe=RECIPES[name]()), about="").recipe
    asked = recipe.model
    begun = asked.pretrained or asked.initial_checkpoint is not None or (recipe.reads and not is_ours(asked.model))
    assert begun or name == "fp"
    assert recipe.quant is None or build.plan_of(recipe.quant).rules


@pytest.mark.slow
@pytest.mark.parametrize(("method", "words"), ASKED, ids=IDS)
def test_a_command_says_what_it_costs(
    method: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it stands there, but with two images a step, and without the folders that it has to find."""
    if "--task" in words:
        pytest.skip("texts are read as they are, and those of GLUE are not here")
    monkeypatch.chdir(tmp_path)
    for flag in ("--data-dir", "--labels", "--initial-checkpoint"):
        if flag in words:
            at = words.index(flag)
            words = words[:at] + words[at + 2 :]
    said = works(f"{shlex.join(['train', *words])} --batch-size 2 --workers 0 --device cpu --dry-run")
    assert f"run         {method}-" in said and "1,281,167 + 50,000 images, 1000 classes" in said
