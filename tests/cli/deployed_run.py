"""A run of a few seconds, and what was exported from it; made once, and only looked at."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.cli.command import PLAIN, works

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


def _folder() -> Path:
    """Gone when the tests end."""
    folder = Path(mkdtemp(prefix="stillbit-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
