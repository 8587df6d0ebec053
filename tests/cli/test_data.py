"""`stillbit data fractals`: made once, left alone when finished, refused when other."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from stillbit.data.settings import FractalSettings
from tests.cli.command import call, everything, mistake, refused, works

SMALL = "--classes 2 --images 3 --val-images 2 --size 16 --workers 0"


def test_a_data_set_is_made_and_said_what_to_do_with(tmp_path: Path) -> None:
    out = tmp_path / "fractals"
    said = works(f"data fractals {SMALL} --output", out)
    assert f"{out}: 2 classes, 6 + 4 images of 16 pixels" in said
    assert f"stillbit train fp --data-dir {out}" in said
    assert np.lib.format.open_memmap(out / "train.npy", mode="r").shape == (6, 3, 16, 16)


def test_a_finished_one_is_left_as_it_is_and_another_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "fractals"
    works(f"data fractals {SMALL} --output", out)
    before = everything(out)
    works(f"data fractals {SMALL} --output", out)
    assert "with classes 2 and not 3" in mistake(f"data fractals {SMALL} --output", out, "--classes", 3)
    assert everything(out) == before


def test_a_folder_with_something_else_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    assert "holds something else" in mistake(f"data fractals {SMALL} --output", tmp_path)
    assert everything(tmp_path) == {"mine.txt": b"precious"}


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    said = refused(f"data fractals {SMALL} --output", tmp_path / "f", "--classes", 1)
    assert "at least two classes" in said and not (tmp_path / "f").exists()
    assert "--output" in refused("data fractals")


def test_help_lists_every_setting() -> None:
    said = works("data fractals --help")
    assert all(f"--{field.name.replace('_', '-')}" in said for field in fields(FractalSettings))
    assert "stillbit data fractals" in works("data --help")


def test_without_a_data_set_or_with_an_unknown_one_it_says_which_there_are() -> None:
    assert call("data").code == 2
    assert "there is no data set 'fractal'" in mistake("data fractal")
