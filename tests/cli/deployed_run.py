"""A run of a few seconds, and what was exported from it; made once, and only looked at."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.cli.command import PLAIN, works
from tests.cli.read_run import number_run, read_run

FEW = "--samples 4 --images 20"
"""As few images as show something."""


@cache
def run() -> Path:
    """Digits at two bits."""
    folder = _folder()
    works(f"train lsq {PLAIN} --batch-size 64 --lr 2e-3 --epochs 2 --bits w2a2 --experiment run --output", folder)
    return folder / "run"


@cache
def floating() -> Path:
    """Digits in float."""
    folder = _folder()
    works(f"train fp {PLAIN} --epochs 1 --experiment float --output", folder)
    return folder / "float"


@cache
def exported() -> Path:
    """Its packed file and its graph, with the proof beside them."""
    folder = _folder()
    works(f"export --format folder {FEW} --output {folder}", run())
    return folder


@cache
def reading() -> Path:
    """Pairs of sentences at one bit."""
    return read_run(_folder())


@cache
def numbers() -> Path:
    """Single texts that have a number each, from files in the folder above."""
    return number_run(_folder())


@cache
def read_files() -> Path:
    """What was exported from the first of these, for texts of up to 24 pieces."""
    folder = _folder()
    works(f"export --format folder --length 24 {FEW} --output {folder}", reading())
    return folder


@cache
def number_file() -> Path:
    """The packed file of the second."""
    file = _folder() / "packed.safetensors"
    works(f"export --length 16 {FEW} --output {file}", numbers())
    return file


def _folder() -> Path:
    """Gone when the tests end."""
    folder = Path(mkdtemp(prefix="stillbit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
