"""What the pages about deployment tell people to type works as it stands there, in that order."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stillbit.cli.export import Export
from stillbit.cli.options import parse
from stillbit.cli.predict import Predict
from stillbit.cli.verify import Verify
from tests.cli.command import works
from tests.house.test_page_code import commands

PAGE = "docs/deploy/index.md"
KINDS: dict[str, Any] = {"export": Export, "verify": Verify, "predict": Predict}
TYPED = [
    (page, shlex.split(command.split("#")[0])[1:])
    for page in (PAGE, "docs/command_line.md", "README.md")
    for command in commands(page)
    if command.startswith("stillbit ") and command.split()[1] in KINDS
]


@pytest.mark.parametrize(
    ("page", "words"), TYPED, ids=lambda said: said if isinstance(said, str) else " ".join(said[:3])
)
def test_every_option_on_a_page_is_one(page: str, words: list[str]) -> None:
    name, *rest = words
    asked = parse(KINDS[name], rest, prog=f"stillbit {name}")
    assert {f.name for f in fields(asked)} >= {word[2:].replace("-", "_") for word in rest if word.startswith("--")}


def test_the_page_shows_all_three_commands() -> None:
    assert {words[0] for page, words in TYPED if page == PAGE} == set(KINDS)


@pytest.mark.slow
def test_the_page_from_nothing_to_a_prediction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(pixels).save("picture.png")
    for command in commands(PAGE):
        assert command.startswith("stillbit "), command
        works(command.removeprefix("stillbit ").replace("--epochs 5", "--epochs 1 --workers 0"))
    assert {path.name for path in Path("output/digits/deploy").iterdir()} >= {"packed.safetensors", "model.onnx"}
    assert {path.name for path in Path("hub").iterdir()} >= {"README.md", "config.json"}
