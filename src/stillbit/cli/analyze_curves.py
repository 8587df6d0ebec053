"""``stillbit analyze curves``: how a training went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stillbit.cli.analyze import Asked, shown
from stillbit.cli.options import parse
from stillbit.cli.unused import refuse_unused


@dataclass(frozen=True, kw_only=True)
class AskedCurves(Asked):
    """How a training went, as its log tells: losses, accuracy, learning rate, penalties, oscillation."""


def run(words: Sequence[str]) -> int:
    """The curves of one run, finished or not."""
    asked = parse(AskedCurves, words, prog="stillbit analyze curves")
    unused = ("data_dir", "dataset", "val_split", "checkpoint", "pretrained", "device")
    refuse_unused(asked, "curves are read from the log of a run", *unused)
    from stillbit.analysis.curves import curves
    from stillbit.methods.recipe_file import read

    folder = Path(asked.target)
    if not (folder / "recipe.json").is_file():
        raise ValueError(f"{folder} is no run: it has no recipe.json; give the folder that stillbit train wrote to")
    record = curves(folder, subject=folder.resolve().name, planned=read(folder).schedule.epochs)
    return shown(asked, record, folder)
