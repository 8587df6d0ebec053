"""What the words of a study file come to: read as the commands read them, long before any of them runs."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from stillbit.cli import data, labels_write, train
from stillbit.cli.options import parse
from stillbit.methods.phases import phases
from stillbit.methods.recipe_file import to_dict

if TYPE_CHECKING:
    from stillbit.study.jobs import Kind


def settings(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
    """The settings that the words of a job stand for; a mistake in them is a ValueError."""
    said = io.StringIO()
    try:
        with redirect_stderr(said), redirect_stdout(said):
            return _settings(kind, words)
    except SystemExit:
        raise ValueError(_sentence(said.getvalue())) from None


def _settings(kind: Kind, words: Sequence[str]) -> dict[str, Any]:
    if kind == "data":
        return asdict(parse(data.FractalData, ["--output", "-", *words], prog="stillbit data fractals"))
    if kind == "labels":
        return asdict(parse(labels_write.LabelsWrite, ["--output", "-", *words], prog="stillbit labels write"))
    recipe = train.asked(words).recipe
    phases(recipe)
    return to_dict(recipe)


def _sentence(box: str) -> str:
    """What stands in the parser's box below its title, up to the next line across it, however the box is drawn."""
    found: list[str] = []
    for line in box.splitlines()[1:]:
        words = line.strip(" │|+╰╯")
        if words.strip("─-"):
            found.append(words)
        elif found:
            break
    return " ".join(found) or "these words are not understood"
